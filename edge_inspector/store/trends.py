"""Counts over many parts: totals, rates, classes, places of defects, and what people found wrong."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from edge_inspector.codes import Decision
from edge_inspector.store.database import micros, utc_from
from edge_inspector.store.results_file import open_results

_SUMS = "sum(decision = 1), sum(decision = 2), sum(decision = 3)"
_LAST_LABEL = (
    "SELECT part_id, label, max(id) FROM labels WHERE label <> 'unsure' AND camera = ''"
    " AND part_id IN (SELECT id FROM parts WHERE utc_us >= ?1 AND utc_us < ?2) GROUP BY part_id"
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Parts by decision."""

    accept: int = 0
    reject: int = 0
    not_inspected: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.accept + other.accept, self.reject + other.reject, self.not_inspected + other.not_inspected)

    @property
    def inspected(self) -> int:
        """Parts that were accepted or rejected."""
        return self.accept + self.reject


@dataclass(frozen=True, slots=True)
class Interval:
    """The parts of one recipe in the interval that begins at `utc`."""

    utc: datetime
    recipe_id: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class Reserve:
    """Between decision and gate, of inspected parts in the interval that begins at `utc`: least and mean, in ms."""

    utc: datetime
    least_ms: float
    mean_ms: float


@dataclass(frozen=True, slots=True)
class Cell:
    """How many defects of one class lie in one square of a camera's view. `column` and `row` count squares."""

    camera: str
    defect_class: str
    column: int
    row: int
    _: KW_ONLY
    defects: int


@dataclass(frozen=True, slots=True)
class Quality:
    """What people found wrong of one recipe and model.

    `escapes` are accepted parts that a person called defective, `false_rejects` rejected parts that a person called
    good. `judged` is how many accepted and rejected parts people have looked at.
    """

    recipe_id: int
    model: str
    judged: int
    escapes: int
    _: KW_ONLY
    false_rejects: int


class Trends:
    """Counts of the results in `path`. Every method raises DeviceError, also after `limit_s`."""

    def __init__(self, path: Path, limit_s: float | None = None) -> None:
        self._path = path
        self._limit_s = limit_s

    def within(self, limit_s: float) -> Trends:
        """The same with a time limit for each query."""
        return Trends(self._path, limit_s)

    def last_id(self) -> int:
        """The number of the newest part. 0 if there is none."""
        return int(self._ask("SELECT coalesce(max(id), 0) FROM parts", ())[0][0])

    def sums(self, since: datetime, until_id: int) -> Sums:
        """The parts decided since then, up to the part with this number."""
        query = f"SELECT {_SUMS} FROM parts WHERE utc_us >= ? AND id <= ?"  # noqa: S608 -- of constants
        return _sums(self._ask(query, (micros(since), until_id))[0])

    def sums_after(self, after_id: int, since: datetime) -> tuple[int, Sums]:
        """The newest part's number, and the parts after `after_id` that were decided since then."""
        query = (
            "SELECT coalesce(max(id), ?1), sum(decision = 1 AND utc_us >= ?2), sum(decision = 2 AND utc_us >= ?2),"
            " sum(decision = 3 AND utc_us >= ?2) FROM parts WHERE id > ?1"
        )
        row = self._ask(query, (after_id, micros(since)))[0]
        return int(row[0]), _sums(row[1:])

    def intervals(self, since: datetime, until: datetime, width_s: int) -> list[Interval]:
        """The parts of each recipe in each interval of `width_s` seconds that has any, oldest first."""
        query = (
            f"SELECT utc_us / ?1 * ?1 AS begins, recipe_id, {_SUMS} FROM parts WHERE utc_us >= ?2 AND utc_us < ?3"  # noqa: S608 -- of constants
            " GROUP BY begins, recipe_id ORDER BY begins, recipe_id"
        )
        rows = self._ask(query, (width_s * 1_000_000, micros(since), micros(until)))
        return [Interval(utc_from(row[0]), row[1], _sums(row[2:])) for row in rows]

    def reserves(self, since: datetime, until: datetime, width_s: int) -> list[Reserve]:
        """How much time was left in each interval, oldest first."""
        query = (
            "SELECT utc_us / ?1 * ?1 AS begins, min(due_ns - decided_ns), avg(due_ns - decided_ns) FROM parts"
            " WHERE utc_us >= ?2 AND utc_us < ?3 AND decision < ?4 GROUP BY begins ORDER BY begins"
        )
        values = (width_s * 1_000_000, micros(since), micros(until), Decision.NOT_INSPECTED)
        return [Reserve(utc_from(row[0]), row[1] / 1e6, row[2] / 1e6) for row in self._ask(query, values)]

    def classes(self, since: datetime, until: datetime, recipe_id: int | None = None) -> list[tuple[str, int]]:
        """Each class of defects and how many parts had it, the most frequent first."""
        query = (
            "SELECT defect_class, count(DISTINCT part_id) FROM defects JOIN parts ON parts.id = part_id"
            " WHERE utc_us >= ?1 AND utc_us < ?2 AND (?3 IS NULL OR recipe_id = ?3)"
            " GROUP BY defect_class ORDER BY 2 DESC, 1"
        )
        return [(row[0], row[1]) for row in self._ask(query, (micros(since), micros(until), recipe_id))]

    def reasons(self, since: datetime, until: datetime, recipe_id: int | None = None) -> list[tuple[int, int]]:
        """Each reason for parts that were not inspected, and how many parts it concerned."""
        query = (
            "SELECT reason, count(*) FROM parts WHERE utc_us >= ?1 AND utc_us < ?2 AND decision = 3"
            " AND (?3 IS NULL OR recipe_id = ?3) GROUP BY reason ORDER BY 2 DESC, 1"
        )
        return [(row[0], row[1]) for row in self._ask(query, (micros(since), micros(until), recipe_id))]

    def places(self, since: datetime, until: datetime, square_mm: float, recipe_id: int | None = None) -> list[Cell]:
        """Where defects lie in the views of the cameras, in squares of `square_mm`."""
        query = (
            "SELECT camera, defect_class, CAST(x_mm / ?4 AS INTEGER), CAST(y_mm / ?4 AS INTEGER), count(*) FROM defects"
            " JOIN parts ON parts.id = part_id WHERE utc_us >= ?1 AND utc_us < ?2 AND (?3 IS NULL OR recipe_id = ?3)"
            " GROUP BY 1, 2, 3, 4"
        )
        rows = self._ask(query, (micros(since), micros(until), recipe_id, square_mm))
        return [Cell(*row[:4], defects=row[4]) for row in rows]

    def quality(self, since: datetime, until: datetime) -> list[Quality]:
        """What people found wrong, by recipe and model. The last label of a part counts, unless it is `unsure`."""
        query = (
            f"SELECT recipe_id, model, sum(decision < 3), sum(decision = 1 AND label = 'defect'),"  # noqa: S608 -- of constants
            f" sum(decision = 2 AND label = 'good') FROM ({_LAST_LABEL}) JOIN parts ON parts.id = part_id"
            " GROUP BY recipe_id, model ORDER BY recipe_id, model"
        )
        return [Quality(*row[:4], false_rejects=row[4]) for row in self._ask(query, (micros(since), micros(until)))]

    def _ask(self, query: str, values: Sequence[Any]) -> list[Any]:
        with self._open() as db:
            return [tuple(row) for row in db.execute(query, values).fetchall()]

    def _open(self) -> AbstractContextManager[Connection]:
        return open_results(self._path, "ro", self._limit_s)


def _sums(row: Sequence[int | None]) -> Sums:
    accept, reject, not_inspected = (each or 0 for each in row)
    return Sums(accept, reject, not_inspected)
