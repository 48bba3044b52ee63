"""The shadow model's thread: a second opinion on some pictures, in spare time.

It takes only pictures that the first model has already processed, never waiting ones. It decides nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from edge_inspector import metrics
from edge_inspector.drivers import Segmenter
from edge_inspector.errors import ConfigError, InferenceError
from edge_inspector.inspection.decision import beyond_limits
from edge_inspector.inspection.view import Look
from edge_inspector.records import ArchiveItem, Disagreement, Image, Picture, View
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import go_last
from edge_inspector.store.album import Album
from edge_inspector.watches.shadow import ShadowTally

log = logging.getLogger(__name__)

_REST_S = 0.02
_WAITING_MAX = 32  # disagreements carry masks: if the disk is slow, more of them are only counted
_FAILURES_MAX = 3


class Shadow:
    """Owns the second segmenter. `first` and `second` make views with the classes and limits of either model.

    `busy()` says whether the first model works or has work waiting.
    """

    name = "shadow"
    beat_within_s = 60.0  # it loads and warms up a model while the line runs

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        first: Look,
        second: Look,
        cameras: Sequence[str],
        busy: Callable[[], bool],
        album: Album,
        archive: Mailbox[ArchiveItem],
    ) -> None:
        self._segmenter = segmenter
        self._first = first
        self._second = second
        self._cameras = list(cameras)
        self._busy = busy
        self._album = album
        self._archive = archive
        self._seen: dict[str, Picture] = {}
        self._failures = 0
        self.tally = ShadowTally()

    def start(self) -> None:
        """Load the model at the lowest priority."""
        go_last()
        try:
            self._segmenter.open()
        except ConfigError:
            self.tally.failed += _FAILURES_MAX
            raise
        self._failures = 0
        log.info("shadow model %s runs", self._segmenter.info.label)

    def step(self) -> None:
        """Process one picture if the first model is idle."""
        picture = None if self._busy() else self._next()
        if picture is None or picture.mask is None:
            time.sleep(_REST_S)
            return
        begun_ns = time.monotonic_ns()
        try:
            mask = self._segmenter.segment([picture.image])[0]
        except InferenceError as error:
            self._failed(error)
            return
        self._failures = 0
        took_ns = time.monotonic_ns() - begun_ns
        metrics.shadow_seconds.observe(took_ns / 1e9)
        first = self._first(picture.frame, picture.mask, begun_ns=0, inference_ns=0)
        second = self._second(picture.frame, mask, begun_ns=begun_ns, inference_ns=took_ns)
        self._compare(first, second, mask)

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Close the model."""
        self._segmenter.close()

    def _next(self) -> Picture | None:
        """The newest picture of the camera whose turn it is, if the first model has seen it and the shadow has not."""
        for _ in self._cameras:
            self._cameras.append(self._cameras.pop(0))
            camera = self._cameras[-1]
            latest = self._album.latest(camera)
            if latest is not None and latest.mask is not None and latest is not self._seen.get(camera):
                self._seen[camera] = latest
                return latest
        return None

    def _compare(self, first: View, second: View, mask: Image) -> None:
        if first.recipe_id != second.recipe_id:
            return  # the recipe changed in between
        rejects = [_rejects(view, look) for view, look in ((first, self._first), (second, self._second))]
        self.tally.count(*rejects)
        if rejects[0] == rejects[1]:
            metrics.shadow_views.labels("agrees").inc()
            return
        opinion = "rejects" if rejects[1] else "accepts"
        metrics.shadow_views.labels(opinion).inc()
        model = self._segmenter.info
        said = Disagreement(
            first.camera,
            first.frame_id,
            first.captured_ns,
            opinion=opinion,
            model=model.label,
            classes=model.classes,
            defects=second.defects,
            mask=mask,
        )
        if len(self._archive) > _WAITING_MAX or self._archive.put(said) is not None:
            metrics.archive_left_out.labels("disagreement").inc()

    def _failed(self, error: InferenceError) -> None:
        self._failures += 1
        self.tally.failed += 1
        log.warning("shadow: %s", error)
        if self._failures >= _FAILURES_MAX:
            raise error


def _rejects(view: View, look: Look) -> bool:
    return any(
        beyond_limits(list(view.defects), criteria.limits)
        for criteria in look.in_use()
        if criteria.recipe.id == view.recipe_id
    )
