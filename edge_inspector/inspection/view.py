"""Makes one camera's view of a part from the frame and the model's mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np

from edge_inspector.codes import Reason
from edge_inspector.inspection.areas import Stencil, stencil
from edge_inspector.inspection.defects import doubtful, find_defects, level
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import Frame, Image, ModelInfo, View, ViewFigures


@dataclass(frozen=True, slots=True)
class Look:
    """Call it with a frame and its mask. `mm_per_px` is each camera's scale across the belt, `mm_per_row` along it.

    `in_use()` are the recipes that may judge parts on the line: one, or two while recipes change. `models` are the
    models of the recipes by name, if the station has several. Then the masks of those that looked come by that name.
    """

    in_use: Callable[[], Sequence[Criteria]]
    model: ModelInfo
    mm_per_px: Mapping[str, float]
    mm_per_row: Mapping[str, float]
    models: Mapping[str, ModelInfo] = field(default_factory=dict)

    def __call__(
        self,
        frame: Frame,
        mask: Image | Mapping[str, Image],
        *,
        begun_ns: int,
        inference_ns: int,
        figures: ViewFigures | None = None,
    ) -> View:
        """The view with its defects in millimetres. `mask` is (classes, H, W) uint8 at the model's stride.

        The view's `figures` are those of the picture, completed with those of the mask. A recipe whose model did not
        look, or whose light and exposure were not set, has a view with the reason CHANGING.
        """
        if isinstance(mask, Mapping):
            by_model = {name: _Levels.of(each) for name, each in mask.items()}
            found = [(each, by_model.get(each.recipe.model)) for each in self.in_use()]
        else:
            levels = _Levels.of(mask)
            found = [(each, levels) for each in self.in_use()]
        first, *others = (
            self._by(
                criteria,
                frame,
                seen,
                begun_ns=begun_ns,
                inference_ns=inference_ns,
                figures=figures and seen and ViewFigures(figures.brightness, figures.sharpness, seen.confidence),
            )
            for criteria, seen in found
        )
        return replace(first, others=tuple(others)) if others else first

    def info(self, criteria: Criteria) -> ModelInfo:
        """The model that looks for this recipe."""
        return self.models.get(criteria.recipe.model, self.model)

    def size_mm(self, criteria: Criteria, camera: str, mask: Image) -> tuple[float, float]:
        """Width and height of the area that the camera's mask covers, by this recipe's model."""
        across, along = self._scale(criteria, camera)
        return mask.shape[2] * across, mask.shape[1] * along

    def unfit(self, criteria: Criteria, camera: str, mask: Image) -> str:
        """Why the recipe's areas cannot be judged in a picture with such a mask. "" if they can."""
        cut = self._cut(criteria, camera, mask)
        return cut if isinstance(cut, str) else ""

    def _cut(self, criteria: Criteria, camera: str, mask: Image) -> Stencil | str:
        return stencil(criteria.recipe.areas(camera), (mask.shape[1], mask.shape[2]), self._scale(criteria, camera))

    def _scale(self, criteria: Criteria, camera: str) -> tuple[float, float]:
        stride = self.info(criteria).stride
        return self.mm_per_px[camera] * stride, self.mm_per_row[camera] * stride

    def _by(self, criteria: Criteria, frame: Frame, seen: _Levels | None, **told: Any) -> View:
        if seen is None or (frame.fits is not None and criteria.recipe.id not in frame.fits):
            return replace(View.unseen(frame, None, Reason.CHANGING), recipe_id=criteria.recipe.id, **told)
        (mask, peaks), classes = seen, self.info(criteria).classes
        limits, camera, scale = criteria.limits, frame.camera, self._scale(criteria, frame.camera)
        cut = self._cut(criteria, camera, mask)
        # An area outside the picture was not inspected. Finding no defect there proves nothing.
        whole = not isinstance(cut, str)
        origin, part = (0, 0), mask
        if not isinstance(cut, str):
            left, top, right, bottom, judged = cut
            origin, part = (left, top), mask[:, top:bottom, left:right]
            if judged is not None:
                part = np.bitwise_and(part, judged)
                peaks = _peaks(part)
        # Most masks are clean. A class needs no search if no pixel reaches its level.
        reached = {
            name: limits[name]
            for name, peak in zip(classes, peaks, strict=True)
            if name in limits and peak >= level(limits[name])
        }
        defects = find_defects(
            camera,
            part,
            classes=classes,
            limits=reached if whole else {},
            mm_per_px=scale[0],
            origin=origin,
            mm_per_row=scale[1],
        )
        return View(
            camera,
            frame.frame_id,
            frame.captured_ns,
            exposure_ns=frame.exposure_ns,
            encoder_count=frame.encoder_count,
            defects=defects,
            failure=Reason.INFERENCE_FAILED if seen.void else Reason.NONE if whole else Reason.BAD_IMAGE,
            received_ns=frame.received_ns,
            doubtful=doubtful(peaks, criteria.recipe.review_band),
            recipe_id=criteria.recipe.id,
            captured_error_ns=frame.captured_error_ns,
            **told,
        )


class _Levels(NamedTuple):
    """A mask and the largest value of each class in it."""

    mask: Image
    peaks: Sequence[int]

    @classmethod
    def of(cls, mask: Image) -> Self:
        return cls(mask, _peaks(mask))

    @property
    def confidence(self) -> float:
        return max(self.peaks, default=0) / 255

    @property
    def void(self) -> bool:
        """Whether the model's output was not a number. The model's guard then sets every pixel of every class to 255.

        Such a view rejects like any defect. If a recipe allows some defects, the view must not be accepted either.
        """
        mask = self.mask
        return all(peak == 255 for peak in self.peaks) and int(mask.min(initial=255)) == 255 and mask.size > 0


def _peaks(mask: Image) -> list[int]:
    """The largest value of each class, in one call: each call may have to wait for the interpreter's lock."""
    peaks: list[int] = mask.max(axis=(1, 2), initial=0).tolist()
    return peaks
