"""The thread between model and judge. It turns masks into views with defects in millimetres."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from edge_inspector import metrics
from edge_inspector.records import Frame, Image, JudgeItem, Segmented, View, ViewFigures
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.store.album import Album


class _Look(Protocol):
    def __call__(
        self,
        frame: Frame,
        mask: Image | Mapping[str, Image],
        /,
        *,
        begun_ns: int,
        inference_ns: int,
        figures: ViewFigures,
    ) -> View: ...


class Measure:
    """Measures every mask. `look(frame, mask, begun_ns, inference_ns, figures)` makes the view.

    If `rejects(view)` says that its part will not be accepted, `rejected` gets the part's decision line. The judge is
    woken if `completes(camera)` says that this camera is the last to see a part.
    """

    name = "measure"
    beat_within_s = 5.0

    def __init__(
        self,
        look: _Look,
        masks: Mailbox[Segmented],
        views: Mailbox[JudgeItem],
        album: Album,
        *,
        rejects: Callable[[View], bool],
        rejected: Callable[[float], None],
        completes: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._look = look
        self._masks = masks
        self._views = views
        self._album = album
        self._rejects = rejects
        self._rejected = rejected
        self._completes = completes

    def start(self) -> None:
        """Nothing to do at the start."""

    def step(self) -> None:
        """Measure one mask."""
        for segmented in self._masks.take(1, timeout_s=0.1):
            metrics.of(metrics.mailbox_items, self._masks.name).set(len(self._masks))
            self.measure(segmented)

    def stop(self, *, failed: bool) -> None:
        """Measure the masks that are left. After a failure they wait for the next start."""
        if not failed:
            for segmented in self._masks.take(self._masks.capacity, timeout_s=0.0):
                self.measure(segmented)

    def measure(self, segmented: Segmented) -> None:
        """Pass the view on, then put the picture into the album. Any thread may call it."""
        frame = segmented.job.frame
        view = self._look(
            frame,
            segmented.by_model or segmented.mask,
            begun_ns=segmented.begun_ns,
            inference_ns=segmented.inference_ns,
            figures=segmented.job.figures,
        )
        # Without the last view nothing can be decided, and the judge looks every 10 ms while a part is on the belt.
        self._views.put(view, wake=self._completes(view.camera))
        if view.defects and self._rejects(view):
            self._rejected(segmented.job.decide_by)
        self._album.put(frame, segmented.mask, segmented.by_model)
