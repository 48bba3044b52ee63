"""The views of a shift, made again from its pictures by a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from edge_inspector.drivers import Segmenter
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, View, ViewFigures
from edge_inspector.shifts.files import Shift
from edge_inspector.shifts.tape import JudgeStep, KeptItem

_AHEAD = 64  # steps that wait for their pictures


@dataclass(slots=True)
class Looked:
    """How many views were made again, and how many could not, because their picture is missing."""

    again: int = 0
    without_picture: int = 0


class LookingAgain:
    """Replaces the views in the steps of a shift. The segmenter must be open.

    A view that the model never saw stays as it was recorded. So does one whose picture is missing.
    """

    def __init__(self, shift: Shift, segmenter: Segmenter, recipes: Mapping[int, Criteria]) -> None:
        self.looked = Looked()
        self._shift = shift
        self._segmenter = segmenter
        self._recipes = recipes

    def steps(self, steps: Iterable[JudgeStep]) -> Iterator[JudgeStep]:
        """The steps with their new views, in order. Several threads work ahead."""
        waiting: deque[tuple[JudgeStep, list[Future[KeptItem] | KeptItem]]] = deque()
        with ThreadPoolExecutor(self._segmenter.workers) as pool:
            for step in steps:
                waiting.append(
                    (step, [pool.submit(self._item, each) if _was_inferred(each) else each for each in step.items])
                )
                while len(waiting) > _AHEAD:
                    yield _done(*waiting.popleft())
            while waiting:
                yield _done(*waiting.popleft())

    def _item(self, item: KeptItem) -> KeptItem:
        view = item.view
        image = self._shift.picture(view.camera, view.captured_ns) if view is not None else None
        if view is None or image is None:
            self.looked.without_picture += 1
            return item
        frame = Frame(
            view.camera,
            view.frame_id,
            view.captured_ns,
            view.exposure_ns,
            received_ns=view.received_ns,
            image=image,
            encoder_count=view.encoder_count,
            captured_error_ns=view.captured_error_ns,
        )
        (mask,) = self._segmenter.segment([image])
        self.looked.again += 1
        used = [self._recipes[each] for each in (view.recipe_id, *(other.recipe_id for other in view.others))]
        head = self._shift.head
        look = Look(
            lambda: used,
            self._segmenter.info,
            {camera: across for camera, (across, _) in head.scales.items()},
            {camera: along for camera, (_, along) in head.scales.items()},
        )
        return KeptItem(
            view=look(frame, mask, begun_ns=view.begun_ns, inference_ns=view.inference_ns, figures=_figures(view))
        )


def _figures(view: View) -> ViewFigures | None:
    return replace(view.figures, confidence=None) if view.figures is not None else None


def _was_inferred(item: KeptItem) -> bool:
    return item.view is not None and item.view.begun_ns > 0 and item.view.recipe_id > 0


def _done(step: JudgeStep, items: list[Future[KeptItem] | KeptItem]) -> JudgeStep:
    if not items:
        return step
    return replace(step, items=tuple(each if isinstance(each, KeptItem) else each.result() for each in items))
