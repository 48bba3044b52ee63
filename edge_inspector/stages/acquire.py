"""One thread per camera: grab, stamp, hand over. It never waits for a later stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_inspector import metrics
from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.picture import PictureFault, PictureFigures, fault_of, measure
from edge_inspector.inspection.picture_guard import CameraGuard, signature
from edge_inspector.inspection.recipe import PictureLimits
from edge_inspector.records import CameraCounters, ErrorCode, Frame, Job, JudgeItem, Reason, View, ViewFigures
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.store.openings import Openings

log = logging.getLogger(__name__)

_PUBLISH_EVERY_NS = 1_000_000_000
_PROVEN_NS = 10_000_000_000  # a camera that is open this long without a picture waits for its trigger and harms nobody
_COUNTED = {
    "frames_missed": metrics.frames_missed,
    "underruns": metrics.camera_underruns,
    "packets_missing": metrics.camera_packets_missing,
    "packets_resent": metrics.camera_packets_resent,
}


class Acquire:
    """Owns one camera.

    `estimate(captured_ns)` is the likely belt position, or None if there is none. `limits()` are the picture limits
    that the recipe in force has for this camera. `guard()` is its picture guard for this camera.
    """

    beat_within_s = 15.0  # the slowest driver takes this long to open a camera that does not answer

    def __init__(
        self,
        camera: Camera,
        *,
        to_line: int,
        estimate: Callable[[int], float | None],
        admission: Admission,
        limits: Callable[[], PictureLimits],
        guard: Callable[[], CameraGuard | None],
        jobs: Mailbox[Job],
        views: Mailbox[JudgeItem],
        conditions: Conditions,
        album: Album,
        openings: Openings,
    ) -> None:
        self.name = f"acquire-{camera.name}"
        self._camera = camera
        self._to_line = to_line
        self._estimate = estimate
        self._admission = admission
        self._limits = limits
        self._guard = guard
        self._jobs = jobs
        self._views = views
        self._conditions = conditions
        self._album = album
        self._openings = openings
        self._backoff = Backoff(first_s=0.1, longest_s=0.5)  # a camera that comes back must be in use within a second
        self._is_open = False
        self._opened_before = False
        self._unproven_ns: int | None = None
        self._fingerprint: int | None = None
        self._counters = CameraCounters()
        self._published_ns = 0

    def start(self) -> None:
        """Nothing is open yet. The first step tries to open, with backoff."""
        self._is_open = False
        why = self._openings.left_out(self._camera.name)
        if why:
            self._conditions.set(ErrorCode.CAMERA_LEFT_OUT, self._camera.name, why, until_reset=True)
        self._conditions.set(ErrorCode.CAMERA_LOST, self._camera.name, "left out" if why else "not open yet")

    def step(self) -> None:
        """Take one frame, or try once to open the camera."""
        if not self._is_open:
            self._open()
            return
        try:
            frame = self._camera.grab(timeout_s=0.2)
            self._prove(seen=frame is not None)
        except FrameIncompleteError as error:
            self._prove(seen=True)
            metrics.frames_failed.labels(self._camera.name).inc()
            log.warning("%s: frame %d is incomplete: %s", self._camera.name, error.frame_id, error)
            self._views.put(View(self._camera.name, error.frame_id, error.captured_ns, failure=Reason.INCOMPLETE_FRAME))
        except DeviceError as error:
            self._lost(error)
        else:
            if frame is not None:
                metrics.frames_completed.labels(self._camera.name).inc()
                self._receive(frame)
        if time.monotonic_ns() - self._published_ns > _PUBLISH_EVERY_NS:
            self._publish()

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Release the camera."""
        self._publish()
        self._camera.close()
        self._is_open = False
        self._openings.end(self._camera.name, worked=False)
        metrics.camera_up.labels(self._camera.name).set(0)

    def _open(self) -> None:
        if not self._backoff.due(wait_s=0.1):
            return
        if self._is_left_out() or not self._openings.begin(self._camera.name):
            self._backoff.failed()
            return
        try:
            self._camera.open()
        except DeviceError as error:
            self._lost(error)
            return
        if self._opened_before:
            metrics.camera_reopened.labels(self._camera.name).inc()
        self._is_open = self._opened_before = True
        self._unproven_ns = time.monotonic_ns()
        self._backoff.succeeded()
        metrics.camera_up.labels(self._camera.name).set(1)
        self._conditions.clear(ErrorCode.CAMERA_LOST, self._camera.name)

    def _is_left_out(self) -> bool:
        """Whether the camera ended the daemon too often, and nobody has given RESET since then."""
        if not self._openings.left_out(self._camera.name):
            return False
        if self._conditions.held(ErrorCode.CAMERA_LEFT_OUT, self._camera.name):
            return True
        self._openings.forgive(self._camera.name)
        return False

    def _prove(self, *, seen: bool) -> None:
        """Note that the camera works, once it has given a picture or has been open for a while."""
        since_ns = self._unproven_ns
        if since_ns is not None and (seen or time.monotonic_ns() - since_ns > _PROVEN_NS):
            self._unproven_ns = None
            self._openings.end(self._camera.name, worked=True)

    def _lost(self, error: DeviceError) -> None:
        self._conditions.set(ErrorCode.CAMERA_LOST, self._camera.name, str(error))
        metrics.camera_up.labels(self._camera.name).set(0)
        self._publish()
        self._camera.close()
        self._openings.end(self._camera.name, worked=False)
        self._is_open = False
        self._backoff.failed()

    def _publish(self) -> None:
        """Publish the device's statistics as metrics. A number lower than before started again with an `open`."""
        before, found = self._counters, self._camera.counters()
        for name, metric in _COUNTED.items():
            more = getattr(found, name) - getattr(before, name)
            metric.labels(self._camera.name).inc(more if more >= 0 else getattr(found, name))
        if found.temperature_c is not None:
            metrics.camera_temperature.labels(self._camera.name).set(found.temperature_c)
        self._counters, self._published_ns = found, time.monotonic_ns()

    def _receive(self, frame: Frame) -> None:
        """Check the picture, and pass it to the model only if it is in time and can be judged."""
        # A count that the camera latched is a raw 32-bit value and goes to the judge. The estimate is enough to order
        # the work.
        count = self._estimate(frame.captured_ns)
        if count is None:
            self._answer(frame, None, Reason.POSITION_UNKNOWN)
            return
        decide_by = count + self._to_line
        if not self._admission.accepts(decide_by, time.monotonic_ns()):
            self._answer(frame, None, Reason.LATE)
            return
        figures = measure(frame.image)
        fault, why = fault_of(figures, self._limits(), self._fingerprint), ""
        if fault is None:
            fault, why = self._unlike(frame, figures)
        self._fingerprint = figures.fingerprint
        metrics.picture_sharpness.labels(frame.camera).set(figures.sharpness)
        like = ViewFigures(figures.mean, figures.sharpness)
        if fault is None:
            self._conditions.clear(ErrorCode.BAD_PICTURES, frame.camera)
            self._hand_over(Job(frame, decide_by, like))
        else:
            metrics.pictures_bad.labels(frame.camera, fault.value).inc()
            self._conditions.set(ErrorCode.BAD_PICTURES, frame.camera, f"{fault.value}{why and ': '}{why}")
            self._admission.spared(decide_by)
            self._answer(frame, like, Reason.BAD_IMAGE)

    def _unlike(self, frame: Frame, figures: PictureFigures) -> tuple[PictureFault | None, str]:
        """Whether the picture is unlike those of good parts, and in which figure."""
        guard = self._guard()
        objection = guard.objection(signature(frame.image, figures)) if guard is not None else ""
        return (PictureFault.UNLIKE, objection) if objection else (None, "")

    def _hand_over(self, job: Job) -> None:
        evicted = self._jobs.put(job)
        if evicted is not None:
            self._admission.refuse(evicted.decide_by)
            self._answer(evicted.frame, evicted.figures, Reason.MAILBOX_FULL)

    def _answer(self, frame: Frame, like: ViewFigures | None, reason: Reason) -> None:
        metrics.frames_evicted.labels(frame.camera, reason.label).inc()
        self._views.put(View.unseen(frame, like, reason))
        self._album.put(frame, None)
