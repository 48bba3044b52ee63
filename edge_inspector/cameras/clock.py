"""A camera's own clock on the host's monotonic clock, learned from the times at which its timestamps arrive here."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

# A timestamp that arrives this much too early means that the camera's clock was set forward. One that arrives this much
# too late means that the clock was set back, or that the timestamp was delayed. The clock was set back if this happens
# in so many slots, and none in between is in time.
_STEP_NS = 20_000_000
_LATE_SLOTS = 5
_UNSTAMPED_NS = 20_000_000  # delay into this program for a frame without a timestamp, in addition to the transfer
_STAMPED_NS = 1_000_000  # the shortest such delay of many frames
_SETTLES_NS = 1_000_000_000  # after this time no picture arrives that was taken before a change of the exposure


class Exposure:
    """A camera's exposure time `ns`. After a change, nobody knows which pictures were still taken with the old one."""

    def __init__(self, ns: int = 0) -> None:
        self.ns = ns
        self._step_ns = 0
        self._until_ns = 0

    def change(self, ns: int, now_ns: int) -> None:
        """From now on pictures are taken with this exposure, but for those that were taken already."""
        self._step_ns, self._until_ns = abs(ns - self.ns), now_ns + _SETTLES_NS
        self.ns = ns

    def doubt_ns(self, now_ns: int) -> int:
        """How far the middle of the exposure may be off for a picture that arrives now. 0 if no change was lately."""
        return (self._step_ns + 1) // 2 if now_ns < self._until_ns else 0


class DeviceClock:
    """Minimum-offset filter that follows drift.

    A timestamp `device_ns` arrives here at `seen_ns`, never earlier than it was made. The difference is the offset of
    the clocks plus a delay that is never negative. The smallest differences of each `slot_ns` lie on a line whose slope
    is the drift. This line is the edge of their lower hull that spans the middle of the window. `drift_max` limits its
    slope.
    """

    def __init__(self, *, slot_ns: int = 1_000_000_000, slots: int = 30, drift_max: float = 200e-6) -> None:
        self._slot_ns = slot_ns
        self._drift_max = drift_max
        self._least: deque[tuple[int, int, int]] = deque(maxlen=slots)
        self._anchor = (0, 0, 0)
        self._drift = 0.0
        self._newest_ns = 0
        self._late_slots: set[int] = set()

    @property
    def known(self) -> bool:
        """Whether anything has been learned yet."""
        return bool(self._least)

    @property
    def drift(self) -> float:
        """How much the offset grows per nanosecond of the device's clock."""
        return self._drift

    def error_ns(self, device_ns: int) -> int:
        """The bound on the error of `host_ns`."""
        since_ns = abs(device_ns - self._newest_ns)
        return max((error for _, _, error in self._least), default=0) + int(self._drift_max * since_ns)

    def add(self, device_ns: int, seen_ns: int, *, latched: bool = False, error_ns: int = 0) -> None:
        """The device's timestamp arrived here at this instant. `latched`: both are the same instant within 2 ms.

        `error_ns`: how far the two may be apart at best.
        """
        offset = seen_ns - device_ns
        late_ns = offset - self._line(device_ns)
        if device_ns < self._newest_ns - self._slot_ns or self._was_set(device_ns, late_ns, latched=latched):
            self._least.clear()
        self._newest_ns = device_ns
        if self._least and device_ns // self._slot_ns == self._least[-1][0] // self._slot_ns:
            if offset >= self._least[-1][1]:
                return
            self._least.pop()
        self._least.append((device_ns, offset, error_ns))
        self._fit()

    def host_ns(self, device_ns: int) -> int:
        """The host time of a device's timestamp. Call it only after the first `add`."""
        return device_ns + round(self._line(device_ns))

    def _was_set(self, device_ns: int, late_ns: float, *, latched: bool) -> bool:
        if late_ns <= _STEP_NS:
            self._late_slots.clear()
            return late_ns < -_STEP_NS
        self._late_slots.add(device_ns // self._slot_ns)
        was_set = latched or len(self._late_slots) == _LATE_SLOTS
        if was_set:
            self._late_slots.clear()
        return was_set

    def _line(self, device_ns: int) -> float:
        at, offset, _ = self._anchor
        return offset + self._drift * (device_ns - at)

    def _fit(self) -> None:
        points = sorted(self._least)
        middle = (points[0][0] + points[-1][0]) / 2
        hull = _lower_hull(points)
        left, right = next(
            ((left, right) for left, right in pairwise(hull) if left[0] <= middle <= right[0]), (hull[0], hull[-1])
        )
        slope = (right[1] - left[1]) / (right[0] - left[0]) if right[0] > left[0] else 0.0
        # Over a short span, jitter of the delays would look like drift.
        if points[-1][0] - points[0][0] < 3 * self._slot_ns:
            slope = 0.0
        self._drift = min(max(slope, -self._drift_max), self._drift_max)
        # Whatever the slope is, no point may lie below the line.
        self._anchor = min(points, key=lambda point: point[1] - self._drift * (point[0] - points[0][0]))


def middle_of_exposure(
    clock: DeviceClock, stamp_ns: int, *, exposure_ns: int, stamp_delay_us: float, now_ns: int
) -> int:
    """The host time of the middle of the frame's exposure.

    It is computed from the timestamp, or from the arrival if there is no timestamp.
    """
    if not clock.known or not stamp_ns:
        return now_ns - exposure_ns // 2
    start_ns = clock.host_ns(stamp_ns) - int(stamp_delay_us * 1000)
    return min(start_ns + exposure_ns // 2, now_ns)


def exposure_error_ns(clock: DeviceClock, stamp_ns: int, size_bytes: int, told_us: float | None) -> int:
    """The largest error of `middle_of_exposure`. If `told_us` is set, it is used instead of the estimate."""
    if told_us is not None:
        return int(told_us * 1000)
    if not clock.known or not stamp_ns:
        return _UNSTAMPED_NS + _transfer_ns(size_bytes)
    return clock.error_ns(stamp_ns)


def arrival_error_ns(size_bytes: int) -> int:
    """The largest error of a camera's clock that is learned from the arrival of frames of this size."""
    return _STAMPED_NS + _transfer_ns(size_bytes)


def _transfer_ns(size_bytes: int) -> int:
    """The duration over the slowest supported connection, 1 Gbit/s."""
    return 8 * size_bytes


def _lower_hull(points: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    hull: list[tuple[int, int, int]] = []
    for point in points:
        while len(hull) >= 2 and _turns_down(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _turns_down(first: tuple[int, int, int], second: tuple[int, int, int], third: tuple[int, int, int]) -> bool:
    return (second[0] - first[0]) * (third[1] - first[1]) <= (second[1] - first[1]) * (third[0] - first[0])
