"""One thread per camera: grab, stamp, hand over. It never waits for a later stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.picture import PictureFault, fault_of, picture_figures
from edge_inspector.inspection.picture_guard import CameraGuard, signature
from edge_inspector.inspection.recipe import PictureLimits
from edge_inspector.inspection.shots import Shots
from edge_inspector.records import CameraCounters, Frame, Job, JudgeItem, PictureFigures, View, ViewFigures
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.store.album import Album
from edge_inspector.store.openings import Openings
from edge_inspector.watches.announcing import FrameParts
from edge_inspector.watches.pieces import WebPieces
from edge_inspector.watches.setup import CameraSetup
from edge_inspector.watches.unseen import Unseen

log = logging.getLogger(__name__)

_PUBLISH_EVERY_NS = 1_000_000_000
_SETTLES_NS = 50_000_000  # a camera that runs freely exposes the next picture already when it is told other features
_PROVEN_NS = 10_000_000_000  # a camera that is open this long without a picture waits for its trigger and harms nobody
_COUNTED = {
    "frames_missed": metrics.frames_missed,
    "underruns": metrics.camera_underruns,
    "packets_missing": metrics.camera_packets_missing,
    "packets_resent": metrics.camera_packets_resent,
}


class Acquire:
    """Owns one camera.

    `estimate(captured_ns)` is the likely belt position, or None if there is none. `limits(view)` are the picture limits
    of the recipe in force, and `guard(view)` is its picture guard. The view has the name of the camera, unless it takes
    several `shots` of each part. `to_line` is the distance from each view to the decision line. `parts` is set if the
    camera's pictures are the parts, and `counts(frame)` takes a frame if the encoder is wired to this camera.
    Set `setup` before the start if recipes want features of the camera.
    """

    beat_within_s = 15.0  # the slowest driver takes this long to open a camera that does not answer

    def __init__(
        self,
        camera: Camera,
        *,
        to_line: Mapping[str, int],
        estimate: Callable[[int], float | None],
        admission: Admission,
        limits: Callable[[str], PictureLimits],
        guard: Callable[[str], CameraGuard | None],
        jobs: Mailbox[Job],
        views: Mailbox[JudgeItem],
        conditions: Conditions,
        album: Album,
        openings: Openings,
        parts: FrameParts | WebPieces | None = None,
        counts: Callable[[Frame], None] | None = None,
        shots: Shots | None = None,
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
        self._unseen = Unseen(views, album)
        self._conditions = conditions
        self._openings = openings
        self._parts = parts
        self._counts = counts
        self._shots = shots
        self.setup: CameraSetup | None = None
        self._adjusted_ns = 0
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
        if self._parts is not None:
            self._parts.tick()
        if not self._is_open:
            self._open()
            return
        try:
            self._adjust()
            frame = self._camera.grab(timeout_s=0.2)
            self._prove(seen=frame is not None)
        except FrameIncompleteError as error:
            self._prove(seen=True)
            metrics.frames_failed.labels(self._camera.name).inc()
            log.warning("%s: frame %d is incomplete: %s", self._camera.name, error.frame_id, error)
            self._announce_damaged(error)
            view = self._view(self._estimate(error.captured_ns))
            self._views.put(View(view, error.frame_id, error.captured_ns, failure=Reason.INCOMPLETE_FRAME))
        except DeviceError as error:
            self._lost(error)
        else:
            if frame is not None:
                metrics.of(metrics.frames_completed, self._camera.name).inc()
                self._take(self._fitting(frame))
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
        if self.setup is not None:
            self.setup.now = None
        self._unproven_ns = time.monotonic_ns()
        self._backoff.succeeded()
        metrics.camera_up.labels(self._camera.name).set(1)
        self._conditions.clear(ErrorCode.CAMERA_LOST, self._camera.name)
        if self._parts is not None:
            self._parts.opened()

    def _adjust(self) -> None:
        """Give the camera other features if the product has changed. Raises DeviceError."""
        if self.setup is None:
            return
        wanted = self.setup.wanted
        if wanted != self.setup.now:
            self.setup.now = None
            self._camera.set_features(wanted)
            self.setup.now, self._adjusted_ns = wanted, time.monotonic_ns()
            log.info("%s: %s", self._camera.name, ", ".join(f"{name} = {value}" for name, value in wanted.items()))

    def _fitting(self, frame: Frame) -> Frame:
        """The frame with the recipes whose features the camera had when it began to expose it."""
        if self.setup is None:
            return frame
        began_ns = frame.captured_ns - frame.exposure_ns // 2 - frame.captured_error_ns
        settled = began_ns > self._adjusted_ns + _SETTLES_NS
        return replace(frame, fits=self.setup.fits if settled else frozenset())

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

    def _take(self, frame: Frame) -> None:
        """Tell first where the belt is and that there is a part. Then the picture goes its way."""
        if self._counts is not None:
            self._counts(frame)
        if self._parts is None or self._parts.seen(frame):
            self._receive(frame)

    def _view(self, count: float | None) -> str:
        """The name of the view that a picture is."""
        return self._camera.name if self._shots is None else self._shots.name(count)

    def _announce_damaged(self, error: FrameIncompleteError) -> None:
        if self._parts is not None:
            self._parts.damaged(error.frame_id, error.captured_ns)

    def _receive(self, frame: Frame) -> None:
        """Check the picture, and pass it to the model only if it is in time and can be judged."""
        # A count that the camera latched is a raw 32-bit value and goes to the judge. The estimate is enough to order
        # the work.
        count = self._estimate(frame.captured_ns)
        if count is None and self._counts is not None and frame.encoder_count is not None:
            count = float(frame.encoder_count)  # nobody has read the first count of this camera yet
        if self._shots is not None:
            frame = replace(frame, camera=self._shots.name(count))
        if count is None:
            self._unseen.answer(frame, None, Reason.POSITION_UNKNOWN)
            return
        decide_by = count + self._to_line[frame.camera]
        if not self._admission.accepts(decide_by, time.monotonic_ns()):
            self._unseen.answer(frame, None, Reason.LATE)
            return
        figures = frame.figures or picture_figures(frame.image)
        fault, why = fault_of(figures, self._limits(frame.camera), self._fingerprint), ""
        if fault is None:
            fault, why = self._unlike(frame, figures)
        self._fingerprint = figures.fingerprint
        metrics.of(metrics.picture_sharpness, frame.camera).set(figures.sharpness)
        like = ViewFigures(figures.mean, figures.sharpness)
        if fault is None:
            self._conditions.clear(ErrorCode.BAD_PICTURES, frame.camera)
            self._hand_over(Job(frame, decide_by, like))
        else:
            metrics.pictures_bad.labels(frame.camera, fault.value).inc()
            self._conditions.set(ErrorCode.BAD_PICTURES, frame.camera, f"{fault.value}{why and ': '}{why}")
            self._admission.spared(decide_by)
            self._unseen.answer(frame, like, Reason.BAD_IMAGE)

    def _unlike(self, frame: Frame, figures: PictureFigures) -> tuple[PictureFault | None, str]:
        """Whether the picture is unlike those of good parts, and in which figure."""
        guard = self._guard(frame.camera)
        objection = guard.objection(signature(frame.image, figures)) if guard is not None else ""
        return (PictureFault.UNLIKE, objection) if objection else (None, "")

    def _hand_over(self, job: Job) -> None:
        evicted = self._jobs.put(job)
        if evicted is not None:
            self._admission.refuse(evicted.decide_by)
            self._unseen.answer(evicted.frame, evicted.figures, Reason.MAILBOX_FULL)
