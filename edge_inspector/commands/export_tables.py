"""The results as CSV or Parquet: one file for each table."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, get_args

from edge_inspector.codes import Decision, Reason
from edge_inspector.errors import EdgeInspectorError
from edge_inspector.runtime.clock import iso
from edge_inspector.store.database import micros, utc_from
from edge_inspector.store.results_file import open_results
from edge_inspector.texts import harmless

TableFormat = Literal["csv", "parquet"]
TABLE_FORMATS: Final[tuple[str, ...]] = get_args(TableFormat)
TABLES: Final = ("parts", "views", "defects", "deliveries", "labels")
_BATCH: Final = 10_000
_FLAGS: Final = frozenset({"rejects", "review", "late", "positioned", "doubtful"})
_KINDS: Final = {"INTEGER": "int64", "REAL": "float64", "TEXT": "string"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column as it is given out: its name, its Arrow type, and how the stored value becomes that."""

    name: str
    kind: str
    read: Callable[[Any], Any]


def export_tables(
    results: Path, out: Path, form: TableFormat, *, since: datetime | None, until: datetime | None
) -> dict[str, int]:
    """Write every table of the parts judged in [since, until) into the folder `out`; the rows of each file.

    Raises EdgeInspectorError.
    """
    write = _write_csv if form == "csv" else _write_parquet
    rows = {}
    with open_results(results) as db:
        db.row_factory = None
        for table in TABLES:
            columns = _columns(db, table)
            file = out / f"{table}.{form}"
            try:
                out.mkdir(parents=True, exist_ok=True)
                rows[file.name] = write(file, columns, _batches(db, table, columns, since=since, until=until))
            except OSError as error:
                raise EdgeInspectorError(f"{file}: cannot be written: {error.strerror or error}") from error
    return rows


def _columns(db: sqlite3.Connection, table: str) -> list[Column]:
    return [_column(name, kind) for _, name, kind, *_ in db.execute("SELECT * FROM pragma_table_info(?)", (table,))]


def _column(name: str, kind: str) -> Column:
    if name == "utc_us":
        return Column("utc", "utc", utc_from)
    if name == "decision":
        return Column(name, "string", lambda value: Decision(value).name)
    if name in ("reason", "failure"):
        return Column(name, "string", lambda value: Reason(value).label)
    if name in _FLAGS:
        return Column(name, "bool_", bool)
    return Column(name, _KINDS[kind], lambda value: value)


def _batches(
    db: sqlite3.Connection, table: str, columns: Sequence[Column], *, since: datetime | None, until: datetime | None
) -> Iterator[list[list[Any]]]:
    """Batches of rows, in the order of the parts."""
    join = "" if table == "parts" else "JOIN parts ON parts.id = part_id"
    span = "parts.utc_us >= ? AND parts.utc_us < ?"
    found = db.execute(
        f"SELECT {table}.* FROM {table} {join} WHERE {span} ORDER BY parts.id",  # noqa: S608 -- of constants
        (micros(since) if since else -(2**62), micros(until) if until else 2**62),
    )
    while batch := found.fetchmany(_BATCH):
        yield [
            [None if value is None else column.read(value) for column, value in zip(columns, row, strict=True)]
            for row in batch
        ]


def _write_csv(file: Path, columns: Sequence[Column], batches: Iterator[list[list[Any]]]) -> int:
    count = 0
    with file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow([column.name for column in columns])
        for batch in batches:
            writer.writerows([[_cell(value) for value in row] for row in batch])
            count += len(batch)
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value, "microseconds")
    if isinstance(value, str):
        return harmless(value)
    return int(value) if isinstance(value, bool) else value


def _write_parquet(file: Path, columns: Sequence[Column], batches: Iterator[list[list[Any]]]) -> int:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise EdgeInspectorError(
            "--format parquet needs a package: pip install 'edge-inspector[export]'. The format csv needs none"
        ) from error
    kinds = {"utc": arrow.timestamp("us", tz="UTC")}
    schema = arrow.schema(
        [(column.name, kinds.get(column.kind) or getattr(arrow, column.kind)()) for column in columns]
    )
    count = 0
    with closing(parquet.ParquetWriter(file, schema)) as writer:
        for batch in batches:
            values = [arrow.array([row[at] for row in batch], each.type) for at, each in enumerate(schema)]
            writer.write_batch(arrow.record_batch(values, schema=schema))
            count += len(batch)
    return count
