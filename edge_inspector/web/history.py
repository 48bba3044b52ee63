"""The last hours' figures from the results. They are on every screen, so an expensive query runs only now and then."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from edge_inspector.errors import DeviceError
from edge_inspector.runtime.clock import utc_of
from edge_inspector.store.results import Results

_AGE_NS = 10_000_000_000
_HOURS = 12


class History:
    """Counts per hour and defects by class over the last twelve hours, at most ten seconds old."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._read_ns = -_AGE_NS
        self._known: dict[str, Any] = {"hours": [], "classes": []}

    def now(self) -> dict[str, Any]:
        """The figures. Empty ones if there are no results."""
        now = time.monotonic_ns()
        if now - self._read_ns >= _AGE_NS:
            self._read_ns = now
            self._known = self._read(now)
        return self._known

    def _read(self, now: int) -> dict[str, Any]:
        until = utc_of(now)
        since = until.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS - 1)
        try:
            hours = self._results.counts(since, until, 3600)
            classes = self._results.pareto(since, until)
        except DeviceError:
            return {"hours": [], "classes": []}
        return {
            "hours": [
                {
                    "utc": f"{hour.utc:%Y-%m-%dT%H:%M:%SZ}",
                    "accept": hour.accept,
                    "reject": hour.reject,
                    "not_inspected": hour.not_inspected,
                }
                for hour in hours
            ],
            "classes": [{"name": each.defect_class, "parts": each.parts, "defects": each.defects} for each in classes],
        }
