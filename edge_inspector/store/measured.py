"""What a station measured of itself while it ran: times, reserves and bounds of positions of the newest parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from edge_inspector.codes import Decision
from edge_inspector.store.database import micros, utc_from
from edge_inspector.store.results_file import open_results

_NEWEST: Final = 200_000
_PARTS: Final = (
    "SELECT decision, latency_ns, due_ns - decided_ns, error_mm, late, utc_us FROM parts"
    " WHERE utc_us >= ?1 AND utc_us < ?2 ORDER BY id DESC LIMIT ?3"
)
_DELIVERIES: Final = (
    "SELECT link, due_ns - delivered_ns FROM deliveries JOIN parts ON parts.id = part_id WHERE part_id IN"
    " (SELECT id FROM parts WHERE utc_us >= ?1 AND utc_us < ?2 ORDER BY id DESC LIMIT ?3)"
)
_ALWAYS: Final = (datetime.fromisoformat("1970-01-01T00:00+00:00"), datetime.fromisoformat("9999-01-01T00:00+00:00"))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Values from the least to the greatest, sorted. Empty if there were none."""

    values: tuple[float, ...]

    def at(self, share: float) -> float:
        """The value that this share of the values does not exceed. nan of nothing."""
        if not self.values:
            return float("nan")
        return self.values[min(len(self.values) - 1, int(share * len(self.values)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class StationFigures:
    """Of the newest parts of a period, at most 200 000 of them.

    `latency_ms`: from the last view's exposure to the decision. `left_ms`: from the decision to the part's earliest
    arrival at the gate. `error_mm`: bound of the position. All three are of inspected parts. `links`: from the delivery
    to the gate, of each link. `late`: parts whose verdict was told as late.
    """

    parts: int
    inspected: int
    late: int
    first: datetime | None
    last: datetime | None
    latency_ms: Quantiles
    left_ms: Quantiles
    error_mm: Quantiles
    links: dict[str, Quantiles]


def measured(path: Path, since: datetime | None, until: datetime | None) -> StationFigures:
    """What the results in `path` say of the period. Raises DeviceError."""
    asked = (micros(since or _ALWAYS[0]), micros(until or _ALWAYS[1]), _NEWEST)
    rows: list[Any] = []
    delivered: list[Any] = []
    if path.exists():
        with open_results(path) as db:
            rows, delivered = db.execute(_PARTS, asked).fetchall(), db.execute(_DELIVERIES, asked).fetchall()
    seen = [row for row in rows if row[0] != Decision.NOT_INSPECTED]
    links: dict[str, list[float]] = {}
    for link, left_ns in delivered:
        links.setdefault(link, []).append(left_ns / 1e6)
    return StationFigures(
        parts=len(rows),
        inspected=len(seen),
        late=sum(bool(row[4]) for row in rows),
        # Not the first and last row, because a clock may have been set back in between.
        first=utc_from(min(row[5] for row in rows)) if rows else None,
        last=utc_from(max(row[5] for row in rows)) if rows else None,
        latency_ms=_spread([row[1] / 1e6 for row in seen]),
        left_ms=_spread([row[2] / 1e6 for row in seen]),
        error_mm=_spread([row[3] for row in seen if row[3] is not None]),
        links={link: _spread(values) for link, values in sorted(links.items())},
    )


def _spread(values: Sequence[float]) -> Quantiles:
    return Quantiles(tuple(sorted(values)))
