"""Counts parts since the begin of the shift, of the batch, and since the last reset."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from edge_inspector.errors import DeviceError
from edge_inspector.store.logbook import CarriedCounts
from edge_inspector.store.trends import Sums, Trends

_ANY = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """The parts since `since`. `name` is that of the batch, `user` who began it. `sums` is None if nobody knows."""

    since: datetime
    sums: Sums | None
    name: str = ""
    user: str = ""


@dataclass(slots=True)
class Tally:
    """Counts the parts in the results since one instant. Each look counts only what is new.

    With `carried` it goes on from there. Dates of parts say nothing then, because the clock was set meanwhile.
    """

    since: datetime
    carried: CarriedCounts | None = None
    _sums: Sums = field(default_factory=Sums)
    _last_id: int | None = None

    @property
    def counted(self) -> CarriedCounts | None:
        """What was counted so far. None if nobody knows."""
        return None if self._last_id is None else CarriedCounts(self._last_id, self._sums)

    def look(self, trends: Trends) -> Sums | None:
        """The counts now. None if the results cannot be read."""
        try:
            if self._last_id is not None:
                newest, fresh = trends.sums_after(self._last_id, _ANY if self.carried else self.since)
                self._sums, self._last_id = self._sums + fresh, newest
            elif self.carried is not None:
                newest = trends.last_id()
                # If it has fewer parts, the file is another one, and all of its parts came later.
                after = self.carried.last_part if self.carried.last_part <= newest else 0
                newest, fresh = trends.sums_after(after, _ANY)
                self._sums, self._last_id = self.carried.sums + fresh, newest
            else:
                newest = trends.last_id()
                self._sums, self._last_id = trends.sums(self.since, newest), newest
        except DeviceError:
            self._last_id = None  # the file may be another one when it is back
            return None
        return self._sums
