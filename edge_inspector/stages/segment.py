"""The model's threads: they turn pictures into masks.

The earliest decision line goes first. A picture is skipped if its part can no longer be decided before the gate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.drivers import Due, Segmenter
from edge_inspector.errors import InferenceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.records import Image, Job, JudgeItem, Segmented
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import go_behind
from edge_inspector.segmenters.models import Models
from edge_inspector.store.album import Album
from edge_inspector.watches.unseen import Unseen

log = logging.getLogger(__name__)

_FAILURES_BEFORE_REBUILD = 3


class Segment:
    """One of the threads that share the segmenter. It does nothing else while frames wait, so the model never waits.

    A free thread takes the waiting frames, up to the segmenter's batch. Batches grow under load, and no frame waits for
    a batch to fill. Masks are passed on to be measured, or measured here if no frame waits. A frame without a mask is
    answered in `views`.

    `models` are set if the recipes have several. Then those that `wanted(view)` look at a frame instead of `segmenter`.
    """

    beat_within_s = 10.0  # the first batch on a GPU may have to build kernels

    def __init__(
        self,
        number: int,
        segmenter: Segmenter,
        *,
        admission: Admission,
        jobs: Mailbox[Job],
        masks: Mailbox[Segmented],
        measure: Callable[[Segmented], None],
        views: Mailbox[JudgeItem],
        conditions: Conditions,
        album: Album,
        models: Models | None = None,
        wanted: Callable[[str], Collection[str]] = lambda _: (),
    ) -> None:
        self.name = f"segment-{number}"
        self._segmenter = segmenter
        self._models = models
        self._wanted = wanted
        self._admission = admission
        self._jobs = jobs
        self._masks = masks
        self._measure = measure
        self._unseen = Unseen(views, album)
        self._conditions = conditions
        self._failures = 0
        self.busy = False

    def start(self) -> None:
        """Rebuild the session if the last one failed. The daemon opened the first one."""
        go_behind()
        if self._failures:
            if self._models is None:
                self._segmenter.open()
            else:
                self._models.reopen()
            self._failures = 0

    def step(self) -> None:
        """Process one batch."""
        jobs = self._in_time(self._jobs.take(self._segmenter.max_batch, timeout_s=0.1))
        metrics.of(metrics.mailbox_items, self._jobs.name).set(len(self._jobs))
        if not jobs:
            return
        begun_ns = time.monotonic_ns()
        self.busy = True
        try:
            seen = self._look(jobs)
        except InferenceError as error:
            self._failed(jobs, error)
            return
        finally:
            self.busy = False
        if seen is None:
            self._left_out(jobs)
            return
        (masks, by_model), took_ns = seen, time.monotonic_ns() - begun_ns
        made = [
            Segmented(job, mask, begun_ns, took_ns, several)
            for job, mask, several in zip(jobs, masks, by_model, strict=True)
            if mask is not None
        ]
        self._unready([job for job, mask in zip(jobs, masks, strict=True) if mask is None])
        if made:
            self._succeeded(made, took_ns)

    def stop(self, *, failed: bool) -> None:
        """Answer for the frames that were never inferred.

        After a failure they wait for the next start, or for another thread.
        """
        if failed:
            return
        for job in self._jobs.take(self._jobs.capacity, timeout_s=0.0):
            self._unseen.answer(job.frame, job.figures, Reason.STOPPING)

    def _look(self, jobs: list[Job]) -> tuple[Sequence[Image | None], Sequence[Mapping[str, Image]]] | None:
        """The mask of each frame, and those of all models that looked. None if no frame is wanted any more.

        A frame has no mask if no model that it needs is open.
        """
        images = [job.frame.image for job in jobs]
        if self._models is None:
            first = min(job.decide_by for job in jobs)
            due = Due(first, partial(self._any_wanted, jobs), partial(self._left_s, jobs))
            masks = self._segmenter.segment_due(images, due)
            return None if masks is None else (masks, [{}] * len(jobs))
        found = self._models.segment(images, [self._wanted(job.frame.camera) for job in jobs])
        return [next(iter(each.values()), None) for each in found], found

    def _unready(self, jobs: list[Job]) -> None:
        """Answer for frames whose model is still being loaded."""
        for job in jobs:
            self._admission.spared(job.decide_by)
            self._unseen.answer(job.frame, job.figures, Reason.CHANGING)

    def _in_time(self, jobs: list[Job]) -> list[Job]:
        now = time.monotonic_ns()
        worth = []
        for job in jobs:
            if self._admission.still_accepts(job.decide_by, now):
                worth.append(job)
            else:
                self._unseen.answer(job.frame, job.figures, Reason.LATE)
        return worth

    def _any_wanted(self, jobs: list[Job]) -> bool:
        now = time.monotonic_ns()
        return any(self._admission.wants(job.decide_by, now) for job in jobs)

    def _left_s(self, jobs: list[Job], most_s: float) -> float:
        now = time.monotonic_ns()
        return max(self._admission.left_ns(job.decide_by, now, int(most_s * 1e9)) for job in jobs) / 1e9

    def _left_out(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._admission.refuse(job.decide_by)
            self._unseen.answer(job.frame, job.figures, Reason.LATE)

    def _succeeded(self, made: list[Segmented], took_ns: int) -> None:
        self._failures = 0
        self._conditions.clear(ErrorCode.INFERENCE_FAILED, self.name)
        self._admission.took([each.job.decide_by for each in made], took_ns)
        metrics.inference_seconds.observe(took_ns / 1e9)
        metrics.batch_frames.observe(len(made))
        # While no frame waits, the model loses nothing, and another thread would first have to be woken.
        idle = not len(self._jobs) and not len(self._masks)
        for segmented in made:
            unmeasured = segmented if idle else self._masks.put(segmented)
            if unmeasured is not None:  # or masks arrive faster than they are measured, and the model has to wait
                self._measure(unmeasured)

    def _failed(self, jobs: list[Job], error: InferenceError) -> None:
        metrics.inference_failed.inc()
        self._conditions.set(ErrorCode.INFERENCE_FAILED, self.name, str(error))
        for job in jobs:
            self._admission.refuse(job.decide_by)
            self._unseen.answer(job.frame, job.figures, Reason.INFERENCE_FAILED)
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_REBUILD:
            raise error
