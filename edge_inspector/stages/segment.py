"""The model's threads: pictures to views, earliest due first, and never one whose part can no longer make the gate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Semaphore

from edge_inspector import metrics
from edge_inspector.drivers import Segmenter
from edge_inspector.errors import InferenceError
from edge_inspector.inspection.admission import Admission
from edge_inspector.records import ErrorCode, Frame, Image, Job, JudgeItem, Reason, View, ViewFigures
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import go_behind

log = logging.getLogger(__name__)

_FAILURES_BEFORE_REBUILD = 3


class Segment:
    """One of the threads that share the segmenter: one more than `slots`, which are its calls at a time.

    So while the model runs for the others, one measures what came out last, and the model does not wait for that.
    Whoever gets a slot takes what waits, up to the segmenter's batch: batches grow under load, and nothing waits for
    a batch to fill. `look(frame, mask, begun_ns, inference_ns, figures)` makes the view: here, since a mask full of
    noise must hold up neither the judge nor other frames.
    """

    beat_within_s = 10.0  # a first batch on a GPU may build kernels

    def __init__(
        self,
        number: int,
        segmenter: Segmenter,
        admission: Admission,
        slots: Semaphore,
        look: Callable[[Frame, Image, int, int, ViewFigures], View],
        jobs: Mailbox[Job],
        results: Mailbox[JudgeItem],
        conditions: Conditions,
        album: Album,
    ) -> None:
        self.name = f"segment-{number}"
        self._segmenter = segmenter
        self._admission = admission
        self._slots = slots
        self._look = look
        self._jobs = jobs
        self._results = results
        self._conditions = conditions
        self._album = album
        self._failures = 0
        self.busy = False

    def start(self) -> None:
        """Build the session again where the last one failed; the daemon opened the first."""
        go_behind()
        if self._failures:
            self._segmenter.open()
            self._failures = 0

    def step(self) -> None:
        """One batch."""
        if not self._slots.acquire(timeout=0.1):
            return
        try:
            jobs = self._in_time(self._jobs.take(self._segmenter.max_batch, timeout_s=0.1))
            metrics.mailbox_items.labels(self._jobs.name).set(len(self._jobs))
            self.busy = bool(jobs)
            begun_ns = time.monotonic_ns()
            masks = self._segmenter.segment([job.frame.image for job in jobs]) if jobs else []
            took_ns = time.monotonic_ns() - begun_ns
        except InferenceError as error:
            self._failed(jobs, error)
            return
        finally:
            self.busy = False
            self._slots.release()
        if jobs:
            self._succeeded(jobs, masks, begun_ns, took_ns)

    def stop(self, *, failed: bool) -> None:
        """Answer for what was never inferred; after a failure it waits for the next start, or another thread."""
        if failed:
            return
        for job in self._jobs.take(self._jobs.capacity, timeout_s=0.0):
            self._answer(job, Reason.STOPPING)

    def _in_time(self, jobs: list[Job]) -> list[Job]:
        now = time.monotonic_ns()
        worth = []
        for job in jobs:
            if self._admission.worth(job.decide_by, 0, now):
                worth.append(job)
            else:
                self._answer(job, Reason.LATE)
        return worth

    def _succeeded(self, jobs: list[Job], masks: list[Image], begun_ns: int, took_ns: int) -> None:
        for job, mask in zip(jobs, masks, strict=True):
            self._results.put(self._look(job.frame, mask, begun_ns, took_ns, job.figures))
        self._failures = 0
        self._conditions.clear(ErrorCode.INFERENCE_FAILED, self.name)
        self._admission.took(len(jobs), took_ns)
        metrics.inference_seconds.observe(took_ns / 1e9)
        metrics.batch_frames.observe(len(jobs))
        for job, mask in zip(jobs, masks, strict=True):
            self._album.put(job.frame, mask)

    def _failed(self, jobs: list[Job], error: InferenceError) -> None:
        metrics.inference_failed.inc()
        self._conditions.set(ErrorCode.INFERENCE_FAILED, self.name, str(error))
        for job in jobs:
            self._answer(job, Reason.INFERENCE_FAILED)
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_REBUILD:
            raise error

    def _answer(self, job: Job, reason: Reason) -> None:
        frame = job.frame
        metrics.frames_evicted.labels(frame.camera, reason.label).inc()
        self._results.put(View.unseen(frame, job.figures, reason))
        self._album.put(frame, None)
