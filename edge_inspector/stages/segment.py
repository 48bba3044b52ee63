"""The model's threads: they turn pictures into masks.

The earliest decision line goes first. A picture is skipped if its part can no longer be decided before the gate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_inspector import metrics
from edge_inspector.drivers import Segmenter
from edge_inspector.errors import InferenceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.records import ErrorCode, Image, Job, JudgeItem, Reason, Segmented, View
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import go_behind

log = logging.getLogger(__name__)

_FAILURES_BEFORE_REBUILD = 3


class Segment:
    """One of the threads that share the segmenter. It does nothing else, so that the model's cores never wait.

    A free thread takes the waiting frames, up to the segmenter's batch. Batches grow under load, and no frame waits for
    a batch to fill. Masks are passed on to be measured. A frame that gets no mask is answered in `views`.
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
    ) -> None:
        self.name = f"segment-{number}"
        self._segmenter = segmenter
        self._admission = admission
        self._jobs = jobs
        self._masks = masks
        self._measure = measure
        self._views = views
        self._conditions = conditions
        self._album = album
        self._failures = 0
        self.busy = False

    def start(self) -> None:
        """Rebuild the session if the last one failed. The daemon opened the first one."""
        go_behind()
        if self._failures:
            self._segmenter.open()
            self._failures = 0

    def step(self) -> None:
        """Process one batch."""
        jobs = self._in_time(self._jobs.take(self._segmenter.max_batch, timeout_s=0.1))
        metrics.mailbox_items.labels(self._jobs.name).set(len(self._jobs))
        if not jobs:
            return
        begun_ns = time.monotonic_ns()
        self.busy = True
        try:
            masks = self._segmenter.segment([job.frame.image for job in jobs])
        except InferenceError as error:
            self._failed(jobs, error)
            return
        finally:
            self.busy = False
        self._succeeded(jobs, masks, begun_ns, time.monotonic_ns() - begun_ns)

    def stop(self, *, failed: bool) -> None:
        """Answer for the frames that were never inferred.

        After a failure they wait for the next start, or for another thread.
        """
        if failed:
            return
        for job in self._jobs.take(self._jobs.capacity, timeout_s=0.0):
            self._answer(job, Reason.STOPPING)

    def _in_time(self, jobs: list[Job]) -> list[Job]:
        now = time.monotonic_ns()
        worth = []
        for job in jobs:
            if self._admission.still_accepts(job.decide_by, now):
                worth.append(job)
            else:
                self._answer(job, Reason.LATE)
        return worth

    def _succeeded(self, jobs: list[Job], masks: list[Image], begun_ns: int, took_ns: int) -> None:
        for job, mask in zip(jobs, masks, strict=True):
            unmeasured = self._masks.put(Segmented(job, mask, begun_ns, took_ns))
            if unmeasured is not None:  # masks arrive faster than they are measured: the model has to wait
                self._measure(unmeasured)
        self._failures = 0
        self._conditions.clear(ErrorCode.INFERENCE_FAILED, self.name)
        self._admission.took([job.decide_by for job in jobs], took_ns)
        metrics.inference_seconds.observe(took_ns / 1e9)
        metrics.batch_frames.observe(len(jobs))

    def _failed(self, jobs: list[Job], error: InferenceError) -> None:
        metrics.inference_failed.inc()
        self._conditions.set(ErrorCode.INFERENCE_FAILED, self.name, str(error))
        for job in jobs:
            self._admission.refuse(job.decide_by)
            self._answer(job, Reason.INFERENCE_FAILED)
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_REBUILD:
            raise error

    def _answer(self, job: Job, reason: Reason) -> None:
        frame = job.frame
        metrics.frames_evicted.labels(frame.camera, reason.label).inc()
        self._views.put(View.unseen(frame, job.figures, reason))
        self._album.put(frame, None)
