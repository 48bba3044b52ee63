"""The encoder's thread: it polls the position and keeps the timeline up to date."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode
from edge_inspector.drivers import Encoder
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.counter_watch import CounterWatch
from edge_inspector.inspection.scale_watch import SpeedWatch
from edge_inspector.inspection.timeline import Timeline
from edge_inspector.records import EncoderSample
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.watches.mismatches import Mismatches

log = logging.getLogger(__name__)

_EPOCHS_TOLD = 3  # a wrongly set up encoder starts a hundred epochs a second: log this many lines at most ...
_STANDS_NS = 2_000_000_000  # after so long without a count the belt stands, and polls are rarer
_STANDING = 3  # times the interval. A belt that starts has moved less than half a millimetre by the next poll
_EPOCHS_TOLD_NS = 5_000_000_000  # ... in this time


class Track:
    """Owns the encoder. Polls every `interval_s` on average.

    Half of the polls are at random points of the PLC's scan. The others are aimed at the edge where a new sample should
    appear. Whether the sample is there or not, each poll narrows the offset between the clocks. Polls locked to the
    scan would not narrow it. `moved` is called after each sample.
    """

    name = "track"
    beat_within_s = 5.0

    def __init__(
        self,
        encoder: Encoder,
        timeline: Timeline,
        *,
        conditions: Conditions,
        interval_s: float,
        speed: SpeedWatch,
        counter: CounterWatch,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._encoder = encoder
        self._timeline = timeline
        self._conditions = conditions
        self._speed = speed
        self._mismatches = Mismatches(conditions)
        self._interval_ns = int(interval_s * 1e9)
        self._counter = counter
        self._moved_on = moved
        self._epochs_told_ns: deque[int] = deque(maxlen=_EPOCHS_TOLD)
        self._epochs_untold = 0
        self._backoff = Backoff(first_s=0.02, longest_s=0.2)
        self._is_open = False
        self._round_trip_ns = 200_000
        self._moved = (0, 0)  # the last count, and when it was new
        self._dither = random.Random()

    @property
    def stands(self) -> bool:
        """Whether the belt has not moved for two seconds, by an encoder that answers. Any thread may ask."""
        return self._is_open and time.monotonic_ns() - self._moved[1] > _STANDS_NS

    def start(self) -> None:
        """Nothing is open yet. The first step tries."""
        self._is_open = False
        self._conditions.set(ErrorCode.ENCODER_LOST, "encoder", "not open yet")

    def step(self) -> None:
        """Take one sample, or try once to connect."""
        if not self._is_open and not self._open():
            return
        self._wait()
        try:
            sample = self._encoder.read()
        except DeviceError as error:
            self._lost(error)
            return
        if sample is None:
            self._conditions.clear(ErrorCode.ENCODER_LOST, "encoder")
            return
        metrics.encoder_samples.inc()
        if sample.count != self._moved[0]:
            self._moved = sample.count, sample.answered_ns
        self._round_trip_ns = min(sample.answered_ns - sample.asked_ns, 2 * self._round_trip_ns)
        if self._speed.add(sample):
            self._tell_of_speed()
        possible = self._counter.sample(sample.count, sample.boot_id)
        if possible:
            if not self._timeline.add(sample):
                self._epoch_begins(sample)
            self._moved_on()
        if self._counter.why:
            self._conditions.set(ErrorCode.LINE_MISMATCH, "counter", self._counter.why)
        else:
            self._conditions.clear(ErrorCode.LINE_MISMATCH, "counter")
        if not possible or self._timeline.fresh(sample.answered_ns):
            self._conditions.clear(ErrorCode.ENCODER_LOST, "encoder")
        else:
            self._conditions.set(ErrorCode.ENCODER_LOST, "encoder", "the PLC answers, but its count is not refreshed")

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Close the encoder."""
        self._encoder.close()
        self._is_open = False

    def _tell_of_speed(self) -> None:
        self._mismatches.tell(self._speed.faults)
        if self._speed.speed_mm_s is not None:
            metrics.belt_speed.set(self._speed.speed_mm_s)
        bound = self._timeline.reachable()
        if bound is not None:
            metrics.position_bound.set(bound.counts / self._speed.counts_per_mm)

    def _epoch_begins(self, sample: EncoderSample) -> None:
        metrics.encoder_epochs.inc()
        jump = self._timeline.jump
        if jump is not None:
            self._counter.jumped(jump.before, jump.after, jump.lost, jump.unsure)
        told_ns = self._epochs_told_ns
        if len(told_ns) == _EPOCHS_TOLD and sample.answered_ns - told_ns[0] < _EPOCHS_TOLD_NS:
            self._epochs_untold += 1
            return
        untold = f", {self._epochs_untold} earlier ones were not logged" if self._epochs_untold else ""
        log.info("encoder epoch %d begins (boot %08x)%s", self._timeline.epoch, sample.boot_id, untold)
        self._epochs_untold = 0
        told_ns.append(sample.answered_ns)

    def _open(self) -> bool:
        if not self._backoff.due(wait_s=0.1):
            return False
        try:
            self._encoder.open()
        except DeviceError as error:
            self._lost(error)
            return False
        self._is_open = True
        self._backoff.succeeded()
        return True

    def _lost(self, error: DeviceError) -> None:
        metrics.encoder_failed.inc()
        self._conditions.set(ErrorCode.ENCODER_LOST, "encoder", str(error))
        self._encoder.close()
        self._is_open = False
        self._backoff.failed()

    def _wait(self) -> None:
        now = time.monotonic_ns()
        interval_ns = self._interval_ns * (_STANDING if now - self._moved[1] > _STANDS_NS else 1)
        at = now + int(interval_ns * self._dither.uniform(0.5, 1.5))
        edge = self._timeline.next_edge(at - self._interval_ns // 2) if self._dither.random() < 0.5 else None
        if edge is not None:
            expected, unsure = edge
            width = max(unsure, 100_000)
            at = expected - self._round_trip_ns // 2 + int(self._dither.uniform(-width, width))
        if at > now:
            time.sleep((at - now) / 1e9)
