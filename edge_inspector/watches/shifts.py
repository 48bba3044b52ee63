"""When the present shift began, by the station's own time zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day


def shift_start(now: datetime, shifts: Sequence[str]) -> datetime:
    """The begin of the shift that `now` is in, in UTC. `shifts` are times of day, as `06:00`, at least one."""
    local = now.astimezone()
    begins = [
        datetime.combine(day, time_of_day.fromisoformat(shift)).astimezone()
        for day in (local.date() - timedelta(days=1), local.date())
        for shift in shifts
    ]
    return max((begin for begin in begins if begin <= local), default=local - timedelta(days=1)).astimezone(UTC)
