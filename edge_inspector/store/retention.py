"""The date before which history may be deleted. It is used only if it can be trusted, and never moves in a big step.

Pure: the caller passes the clock and the dates of the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edge_inspector.runtime.clock import EARLIEST, Moment

AHEAD = timedelta(days=1)
SETTLED = timedelta(days=3)  # a date that lasts this long is trusted: longer than a weekend without people

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAUSE = timedelta(days=4)  # a long weekend without parts, or a box without a battery that is switched on after it
_EARLY_NS = 3600_000_000_000  # time after the start in which a box without a battery gets the date
_SHARE = 10  # of keep_days: this much history is too little to raise a doubt
# hours of history that may be deleted per hour of running: as many as keep_days, within these limits
_CATCH_UP = (2, 24)


@dataclass(frozen=True, slots=True)
class Stamps:
    """Dates in the history, if there are any.

    `oldest`: the earliest of all. `settled`: the latest one that is at least SETTLED before now. `ahead`: the earliest
    one that is at least AHEAD after now.
    """

    oldest: datetime | None = None
    settled: datetime | None = None
    ahead: datetime | None = None


class Retention:
    """The date from which history is kept.

    `doubt` says why the date is not trusted, or "" if it is. One thread owns it.
    """

    def __init__(self, keep: timedelta) -> None:
        self._keep = keep
        self._pause = max(_PAUSE, keep / _SHARE)
        self._pace = min(max(_CATCH_UP[0], keep.days), _CATCH_UP[1])
        self._first = min(timedelta(days=1), keep / _SHARE)
        self._step = self._pause  # how far ahead the clock may be set while the station runs
        self._begun_ns = 0
        self._trusted: timedelta | None = None  # date minus monotonic clock
        self._doubted = timedelta.max
        self._doubted_since_ns = 0
        self._horizon: datetime | None = None
        self._looked_ns = 0
        self.doubt = ""

    def horizon(self, now: Moment, stamps: Stamps) -> datetime | None:
        """The date before which items may be deleted. None while it is not trusted. Call it about once a second."""
        passed = timedelta(microseconds=(now.monotonic_ns - self._looked_ns) // 1000)
        self._looked_ns = now.monotonic_ns
        self.doubt = self._doubt(now, stamps)
        if self.doubt:
            return None
        wanted = now.utc - self._keep
        if self._horizon is not None:
            reached = self._horizon + self._pace * passed
        elif stamps.oldest is not None:
            reached = stamps.oldest + self._first  # otherwise a box that runs only minutes a day would never catch up
        else:
            reached = wanted
        self._horizon = min(wanted, reached)
        return self._horizon

    def _doubt(self, now: Moment, stamps: Stamps) -> str:
        offset = now.utc - _EPOCH - timedelta(microseconds=now.monotonic_ns // 1000)
        why = self._contradiction(now, offset, stamps)
        if not why:
            self._doubted = timedelta.max
            if self._trusted is None:
                self._trusted, self._begun_ns = offset, now.monotonic_ns
            elif self._step != _PAUSE and now.monotonic_ns - self._begun_ns >= _EARLY_NS:
                self._trusted, self._step = offset, _PAUSE
            return ""
        if self._doubted is timedelta.max or abs(offset - self._doubted) > AHEAD:
            self._doubted, self._doubted_since_ns = offset, now.monotonic_ns
        lasted = timedelta(microseconds=(now.monotonic_ns - self._doubted_since_ns) // 1000)
        if now.utc < EARLIEST or lasted < SETTLED:
            return why
        self._trusted, self._doubted = offset, timedelta.max
        return ""

    def _contradiction(self, now: Moment, offset: timedelta, stamps: Stamps) -> str:
        if now.utc < EARLIEST:
            return f"the clock was never set: it shows {now.utc:%Y-%m-%d}"
        if self._trusted is not None:
            moved = offset - self._trusted
            if -AHEAD <= moved <= self._step:
                return ""
            return f"the clock was set {_span(moved)} {'ahead' if moved > timedelta() else 'back'}"
        silence = None if stamps.settled is None else now.utc - SETTLED - stamps.settled
        if stamps.ahead is not None and (silence is None or stamps.ahead - now.utc <= self._pause):
            return f"the clock shows {now.utc:%Y-%m-%d}, and parts with later dates are stored"
        if silence is not None and silence > self._pause:
            return f"by the clock no part was stored for {_span(silence)}"
        return ""


def _span(length: timedelta) -> str:
    hours = abs(length) / timedelta(hours=1)
    return f"{hours / 24:.0f} days" if hours > 48 else f"{hours:.0f} h"
