"""Answers for frames that the model did not look at."""

from __future__ import annotations

from edge_inspector import metrics
from edge_inspector.codes import Reason
from edge_inspector.records import Frame, JudgeItem, View, ViewFigures
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.store.album import Album


class Unseen:
    """Counts such a frame, tells the judge why there is no result, and keeps the picture. Any thread may call it."""

    def __init__(self, views: Mailbox[JudgeItem], album: Album) -> None:
        self._views = views
        self._album = album

    def answer(self, frame: Frame, figures: ViewFigures | None, reason: Reason) -> None:
        """The frame gets no mask. `figures` are those of the picture, if they were measured."""
        metrics.of(metrics.frames_evicted, frame.camera, reason.label).inc()
        # The judge gets it a few milliseconds later. Under overload, waking it for each such frame would take the time
        # of the frames that can be inspected.
        self._views.put(View.unseen(frame, figures, reason), wake=False)
        self._album.put(frame, None)
