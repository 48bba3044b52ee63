"""Finds pictures of a stream that were delayed on their way, and the largest delay, from their arrival times."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

# A picture that arrives this long after the one before, and after three usual intervals, was held up on its way. More
# pictures behind it were held up too.
_STOPPED_NS: Final = 200_000_000
# times the usual interval: after such a pause, this picture and those right behind it may be late by the excess
_PAUSED: Final = 2
_SINGLY: Final = 2  # this many in a row, because a single picture may be late only because this machine was busy
_BEHIND_AT_MOST_NS: Final = 1_500_000_000  # a stream that still arrives in bursts after this time always does
_EVEN: Final = 3  # times the mean interval: a stream without bursts has no gap this long
_PROVEN: Final = 10  # so many pictures show the interval of a stream
_EARLY, _LATE = 0.75, 1.5  # times that interval: a picture between them came at the stream's pace


@dataclass(slots=True)
class _Catching:
    """A stream that is catching up: its start, the number of pictures, the longest gap, and the time spent waiting."""

    since_ns: int
    pictures: int = 0
    longest_ns: int = 0
    waited_ns: int = 0

    def add(self, apart_ns: int, waited_ns: int) -> None:
        self.pictures += 1
        self.longest_ns = max(self.longest_ns, apart_ns)
        self.waited_ns += waited_ns

    def even_ns(self, now_ns: int) -> float | None:
        """The interval of a stream whose pictures arrive evenly and after a wait, so none is delayed. Else None."""
        span_ns = now_ns - self.since_ns
        even = self.longest_ns < _EVEN * span_ns / self.pictures and self.waited_ns > span_ns / 4
        return span_ns / self.pictures if even else None


@dataclass(frozen=True, slots=True)
class Opening:
    """When the opening of a stream began and ended. `pace_ns` is the interval that the stream had shown before it."""

    began_ns: int
    ended_ns: int
    pace_ns: float | None = None


class Arrivals:
    """One stream since it was opened.

    `interval_ns` is the interval that the stream reports. `slowest_ns` is the longest one that its settings allow.
    `late_ns`: how much later than usual the last picture may have arrived.
    """

    def __init__(self, name: str, interval_ns: float, slowest_ns: float, opening: Opening) -> None:
        self._name = name
        self._interval_ns = interval_ns
        self._opening = opening
        # Until the stream has shown its rate, assume the slowest one that its settings allow.
        self.usual_ns = slowest_ns
        # Opening a stream reads its first pictures, so they are as old as the opening took.
        self.late_ns = int(slowest_ns)
        self._last_ns = opening.ended_ns
        self._catching: _Catching | None = _Catching(opening.ended_ns)
        self._came = 0
        self._used = 0
        self._singly = 0
        self._in_bursts = False

    @property
    def pace_ns(self) -> float | None:
        """The interval of the stream's pictures, for the next opening. None if it is not known well enough."""
        return self.usual_ns if self._used >= _PROVEN and not self._in_bursts else self._opening.pace_ns

    def came(self, received_ns: int, waited_ns: int) -> bool:
        """Whether the picture that arrived after this wait can be used. It cannot while the stream catches up."""
        apart_ns, self._last_ns = received_ns - self._last_ns, received_ns
        self._came += 1
        self._follow(apart_ns)
        if self._in_bursts:
            return True
        if self._is_fresh(received_ns, apart_ns, waited_ns):
            self._begin_at_its_pace(apart_ns)
        elif self._catching is not None:
            self._catch_up(self._catching, received_ns, apart_ns, waited_ns)
        elif apart_ns > max(_STOPPED_NS, 3 * self.usual_ns):
            self._catching = _Catching(received_ns)
        if self._catching is not None:
            return False
        self.usual_ns += (apart_ns - self.usual_ns) / 8
        self._used += 1
        return True

    def _is_fresh(self, received_ns: int, apart_ns: int, waited_ns: int) -> bool:
        """Whether this is the second picture after an opening, and nothing held it back.

        When the wait for it began, a live stream could have sent one picture since the opening began, and that one had
        come. It came when it was due at the pace that the stream had before.
        """
        pace_ns = self._opening.pace_ns
        if pace_ns is None or self._came != 2 or received_ns - waited_ns - self._opening.began_ns > pace_ns:
            return False
        return _EARLY * pace_ns < apart_ns < _LATE * pace_ns and waited_ns > _EARLY * apart_ns

    def _begin_at_its_pace(self, apart_ns: int) -> None:
        pace_ns = self._opening.pace_ns or 0.0
        self._catching, self.usual_ns = None, pace_ns
        self.late_ns = max(0, int(apart_ns - pace_ns))

    def _follow(self, apart_ns: int) -> None:
        """Update the delay: after a pause, pictures are late until they arrive one by one again."""
        late_ns = int(apart_ns - self.usual_ns)
        paused = apart_ns > _PAUSED * self.usual_ns
        if paused and not self.late_ns:
            self.late_ns, self._singly = late_ns, 0
            return
        self._singly = self._singly + 1 if apart_ns > min(self._interval_ns, self.usual_ns) / 2 else 0
        if self._singly >= _SINGLY:
            self.late_ns = 0
        elif paused:
            self.late_ns = max(self.late_ns, late_ns)

    def _catch_up(self, catching: _Catching, received_ns: int, apart_ns: int, waited_ns: int) -> None:
        catching.add(apart_ns, waited_ns)
        if self._singly >= _SINGLY:
            self._catching = None
            log.info("%s: pictures come one by one again. Those that came late were left out", self._name)
        elif received_ns - catching.since_ns > _BEHIND_AT_MOST_NS:
            self._catching = None
            even_ns = catching.even_ns(received_ns)
            if even_ns is not None:
                # The stream is faster than it reports. Motion JPEG has no rate, and FFmpeg invents one.
                self._interval_ns = self.usual_ns = even_ns
                self.late_ns = 0
                return
            self._in_bursts = True
            late_ms = self.late_ns / 1e6
            log.warning("%s: the stream comes in bursts: pictures may be %.0f ms older than usual", self._name, late_ms)
