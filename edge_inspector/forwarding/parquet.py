"""Rows of results as the content of a Parquet file, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.forwarding.reading import COLUMNS, Row

_MORE: Final[Mapping[str, tuple[str, ...]]] = {"parts": ("product",), "views": ("url",)}
NAMES: Final = {
    table: ("station", *(name.strip() for name in columns.split(",")), *_MORE.get(table, ()))
    for table, columns in COLUMNS.items()
}
"""The columns of each file."""
_WHOLE: Final = frozenset({"boot_id", "seq", "part_seq", "recipe_id", "number", "code", "parts", "rejected"}) | {
    "not_inspected"
}
_FLAGS: Final = frozenset({"late", "review", "doubtful", "fault"})
_DATES: Final = frozenset({"utc", "begun", "ended", "acknowledged"})
_REALS: Final = frozenset(
    {"latency_ms", "error_mm", "area_mm2", "length_mm", "confidence", "x_mm", "y_mm"}
)  # the others are texts
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PACKING: Final = "zstd"


def packed(table: str, rows: Sequence[Row]) -> bytes:
    """A Parquet file with these rows, in the order of `NAMES`. Raises ConfigError if pyarrow is missing."""
    arrow, parquet = libraries()
    schema = arrow.schema([(name, _kind(arrow, name)) for name in NAMES[table]])
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [arrow.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    out = arrow.BufferOutputStream()
    parquet.write_table(arrow.table(arrays, schema=schema), out, compression=_PACKING)
    content: bytes = out.getvalue().to_pybytes()
    return content


def unpacked(content: bytes, names: Iterable[str], path: str) -> list[Row]:
    """The values of these columns, row by row. Raises DeviceError if the file is none of ours."""
    arrow, parquet = libraries()
    wanted = list(names)
    try:
        found = parquet.read_table(arrow.BufferReader(content), columns=wanted)
        columns = [_values(arrow, found.column(name), name) for name in wanted]
    except (arrow.ArrowException, KeyError, OSError, ValueError) as error:
        raise DeviceError(f"{path} is damaged or none of ours. Move it out of the way") from error
    return list(zip(*columns, strict=True))


def libraries() -> tuple[ModuleType, ModuleType]:
    """Arrow and its Parquet, from pyarrow. Raises ConfigError if they are missing."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError([Fault("bucket", f"{error}: pip install 'edge-inspector[bucket]'")]) from error


def _values(arrow: ModuleType, column: Any, name: str) -> list[Any]:
    """The values as `reading.py` makes them. pyarrow's own dates need a list of time zones that may not be there."""
    if not column.type.equals(_kind(arrow, name)):
        raise ValueError(name)
    if name not in _DATES:
        values: list[Any] = column.to_pylist()
        return values
    counts = column.cast(arrow.int64()).to_pylist()
    return [None if us is None else _EPOCH + timedelta(microseconds=us) for us in counts]


def _kind(arrow: ModuleType, name: str) -> Any:
    if name in _DATES:
        return arrow.timestamp("us", tz="UTC")
    if name in _WHOLE:
        return arrow.int64()
    if name in _FLAGS:
        return arrow.bool_()
    return arrow.float64() if name in _REALS else arrow.string()
