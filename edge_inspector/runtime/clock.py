"""UTC for people. No other module converts a monotonic instant to a date."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# no station ran before this date: an earlier date comes from a clock that was never set
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks: the date, which people may set, and the monotonic clock, which nobody can set."""

    utc: datetime
    monotonic_ns: int

    def utc_at(self, monotonic_ns: int) -> datetime:
        """The date of another instant, if the wall clock had always run as it does now."""
        return self.utc + timedelta(microseconds=(monotonic_ns - self.monotonic_ns) // 1000)


def moment() -> Moment:
    """The present instant."""
    utc_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
    return Moment(_EPOCH + timedelta(microseconds=utc_ns // 1000), monotonic_ns)


def utc_of(monotonic_ns: int) -> datetime:
    """UTC of an instant of `time.monotonic_ns`, to the microsecond.

    The wall clock is read at each call, because a box without a battery clock starts in 1970 and is set by NTP while it
    runs.
    """
    return moment().utc_at(monotonic_ns)


def utc_text(monotonic_ns: int) -> str:
    """The same as `utc_of`, in ISO 8601 with milliseconds: 2026-11-21T07:06:31.250Z."""
    return iso(utc_of(monotonic_ns))


def iso(utc: datetime, timespec: str = "milliseconds") -> str:
    """A date in UTC as ISO 8601 text. `timespec` is that of `datetime.isoformat`."""
    return utc.isoformat(timespec=timespec).replace("+00:00", "Z")
