"""Deletes old results and pictures, and logs it.

It deletes by age only as far as the date can be trusted. It deletes for lack of space in any case.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode
from edge_inspector.runtime.clock import Moment
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.store.forwarded import read_forwarded
from edge_inspector.store.images import ImageArchive
from edge_inspector.store.results_writer import ResultsWriter
from edge_inspector.store.retention import SETTLED, Retention

log = logging.getLogger(__name__)

_CLOCK = "clock"
_GATHER_NS = 10_000_000_000  # the first line about a series of deletions then covers more than their first second
_AGAIN_NS = 3600_000_000_000
_NAMES = {"parts": "parts", "views": "views of pictures", "unforwarded": "parts that the store does not have"}


class Forgetting:
    """Deletes results and pictures. Only the archive's thread calls it. DeviceError comes from the disk.

    `forwarded_from` is the state folder of a station whose results go to the plant's database. None if they do not.
    """

    def __init__(
        self, conditions: Conditions, *, keep_days: int, keep_mb: int, forwarded_from: Path | None = None
    ) -> None:
        self._forwarded_from = forwarded_from
        self._keep_bytes = keep_mb * 2**20
        self._conditions = conditions
        self._retention = Retention(timedelta(days=keep_days))
        self._before: datetime | None = None
        self._oldest: datetime | None = None
        self._gone: Counter[tuple[str, str]] = Counter()
        self._next_line_ns = 0

    def look(self, now: Moment, results: ResultsWriter, images: ImageArchive | None) -> None:
        """Compare the date with the stored dates, to find out whether it can be trusted. Call it before deleting."""
        self._before = None
        stamps = results.stamps(now.utc)
        self._oldest = stamps.oldest
        day = images.oldest_day() if images is not None else None
        pictured = datetime.fromisoformat(day).replace(tzinfo=UTC) if day is not None else None
        oldest = min((date for date in (stamps.oldest, pictured) if date is not None), default=None)
        self._before = self._retention.horizon(now, replace(stamps, oldest=oldest))
        doubt = self._retention.doubt
        if doubt:
            why = (
                f"{doubt}. Nothing is deleted by age until the clock is right (`timedatectl`)"
                f" or has run like this for {SETTLED.days} days"
            )
            self._conditions.set(ErrorCode.CLOCK_STEPPED, _CLOCK, why)
        else:
            self._conditions.clear(ErrorCode.CLOCK_STEPPED, _CLOCK)

    def tidy_results(self, results: ResultsWriter, now: Moment) -> None:
        """Delete some of the results that are too old or too many."""
        results.tidy(self._before, self._keep_bytes, now.utc)
        if self._forwarded_from is not None and results.forgotten.total():
            self._count("unforwarded", _not_forwarded(self._forwarded_from, results))
        self._count("parts", results.forgotten)

    def tidy_pictures(self, images: ImageArchive, now: Moment) -> None:
        """Delete some of the pictures that are too old or too many.

        By age it deletes no pictures of parts that the results still hold.
        """
        dates = [date for date in (self._before, self._oldest) if date is not None]
        before = f"{min(dates):%Y-%m-%d}" if self._before is not None else ""
        images.tidy(before, f"{now.utc:%Y-%m-%d}")
        self._count("views", images.forgotten)

    def tell(self, now: Moment, *, at_once: bool = False) -> None:
        """Log the deletions since the last line, at most once an hour."""
        if not self._gone:
            return
        if not self._next_line_ns:
            self._next_line_ns = now.monotonic_ns + _GATHER_NS
        if at_once or now.monotonic_ns >= self._next_line_ns:
            said = ", ".join(_words(*each) for each in sorted(self._gone.items()))
            early = any(what == "unforwarded" for what, _ in self._gone)
            log.log(logging.WARNING if early else logging.INFO, "archive: deleted: %s", said)
            self._gone.clear()
            self._next_line_ns = now.monotonic_ns + _AGAIN_NS

    def _count(self, what: str, forgotten: Counter[str]) -> None:
        for why, count in forgotten.items():
            metrics.archive_forgotten.labels(what, why).inc(count)
            self._gone[what, why] += count
        self._gone += Counter()  # removes entries with a count of zero
        forgotten.clear()


def _not_forwarded(state_dir: Path, results: ResultsWriter) -> Counter[str]:
    """How many of the parts that were just deleted the plant's database did not have."""
    deleted = results.forgotten.total()
    unread = min(deleted, results.first_part - 1 - read_forwarded(state_dir))
    why = "room" if results.forgotten["room"] else "age"
    return Counter({why: max(0, unread)})


def _words(what: tuple[str, str], count: int) -> str:
    kind, why = what
    return f"{count} {_NAMES[kind]} {'older than keep_days' if why == 'age' else 'to make room'}"
