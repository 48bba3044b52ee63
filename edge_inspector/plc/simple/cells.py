"""Values at any place in a PLC's memory: how they are written in the station file, and how their bytes are read."""

from __future__ import annotations

import math
import struct
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import groupby
from typing import Protocol

KINDS: Mapping[str, tuple[str, int]] = {
    "byte": ("B", 1),
    "int": ("h", 2),
    "uint": ("H", 2),
    "dint": ("i", 4),
    "udint": ("I", 4),
    "real": ("f", 4),
    "lreal": ("d", 8),
}
"""By name: how a value is packed, the high byte first, and how many bytes it has."""
BIT = "bool"
_NEAR = 32  # bytes: values that are no further apart are read in one request
_TOGETHER = 200  # bytes in one request: every PLC can

Number = int | float


@dataclass(frozen=True, slots=True)
class PlcCell:
    """One value: `area` and `block` say in which memory, `start` is its first byte. `bit` is set for a single bit."""

    area: str
    block: int
    start: int
    kind: str
    _: KW_ONLY
    bit: int | None = None
    text: str = ""

    @property
    def size(self) -> int:
        """Bytes in the PLC's memory. A bit has one."""
        return 1 if self.kind == BIT else KINDS[self.kind][1]

    @property
    def values(self) -> int | None:
        """How many values a whole number of this kind has. None for others."""
        return None if self.kind in (BIT, "real", "lreal") else 1 << 8 * self.size

    def beside(self, other: PlcCell) -> bool:
        """Whether both are read in one request."""
        first, last = min(self.start, other.start), max(self.start + self.size, other.start + other.size)
        return self.memory == other.memory and last - first <= _NEAR

    @property
    def memory(self) -> tuple[str, int, bool]:
        """What one request can reach. Bits of Modbus are a memory of their own."""
        return self.area, self.block, self.kind == BIT

    def unpack(self, content: bytes) -> Number:
        """The value in its bytes."""
        if self.kind == BIT:
            return content[0] >> (self.bit or 0) & 1
        found: Number = struct.unpack(f">{KINDS[self.kind][0]}", content)[0]
        return found

    def pack(self, value: Number) -> bytes:
        """The bytes of a value. A whole number that is too large wraps."""
        code, size = KINDS[self.kind]
        if code in "fd":
            return struct.pack(f">{code}", float(value))
        whole = int(value) % (1 << 8 * size)
        if code.islower() and whole >= 1 << (8 * size - 1):
            whole -= 1 << 8 * size
        return struct.pack(f">{code}", whole)


class PlcMemory(Protocol):
    """A connection to the PLC's memory. Any error closes it. One thread owns it."""

    address: str

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the last call succeeded."""

    @property
    @abstractmethod
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request left this process and when its answer began to arrive."""

    @abstractmethod
    def open(self) -> None:
        """Connect. Raises DeviceError."""

    @abstractmethod
    def read(self, first: PlcCell, size: int) -> bytes:
        """`size` bytes from the place of `first` on, the high byte of each value first. Raises DeviceError."""

    @abstractmethod
    def write(self, first: PlcCell, content: bytes) -> None:
        """Write bytes from the place of `first` on, in one request. Raises DeviceError."""

    @abstractmethod
    def close(self) -> None:
        """Close without a message to the PLC."""


@dataclass(frozen=True, slots=True)
class CellReading:
    """The values of some cells, and when they were read: between `asked_ns` and `answered_ns`."""

    values: Mapping[str, Number]
    asked_ns: int
    answered_ns: int

    def number(self, name: str) -> Number | None:
        """The value with this name. None if there is no such cell, or if it is no number."""
        value = self.values.get(name)
        return None if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


class CellReader:
    """Reads named cells, in as few requests as their places allow. `first` is in the first request."""

    def __init__(self, cells: Mapping[str, PlcCell], first: str) -> None:
        self._spans = sorted(_spans(cells), key=lambda span: first not in span.names)

    def read(self, memory: PlcMemory) -> CellReading:
        """All values. The times are those of the request that has the first cell. Raises DeviceError."""
        values: dict[str, Number] = {}
        times: tuple[int, int] | None = None
        for span in self._spans:
            content = memory.read(span.first, span.size)
            times = times or memory.round_trip_ns
            for name, cell in span.names.items():
                at = cell.start - span.first.start
                values[name] = cell.unpack(content[at : at + cell.size])
        asked_ns, answered_ns = times or (0, 0)
        return CellReading(values, asked_ns, answered_ns)


@dataclass(frozen=True, slots=True)
class _Span:
    first: PlcCell
    size: int
    names: Mapping[str, PlcCell]


def _spans(cells: Mapping[str, PlcCell]) -> Iterable[_Span]:
    ranked = sorted(cells.items(), key=lambda item: (item[1].memory, item[1].start))
    for _, members in groupby(ranked, key=lambda item: item[1].memory):
        names: dict[str, PlcCell] = {}
        for name, cell in members:
            if names and not _fits(list(names.values()), cell):
                yield _span(names)
                names = {}
            names[name] = cell
        yield _span(names)


def _fits(span: Sequence[PlcCell], cell: PlcCell) -> bool:
    end = max(each.start + each.size for each in span)
    return cell.start - end <= _NEAR and cell.start + cell.size - span[0].start <= _TOGETHER


def _span(names: Mapping[str, PlcCell]) -> _Span:
    cells = list(names.values())
    return _Span(cells[0], max(each.start + each.size for each in cells) - cells[0].start, dict(names))


class CellWriter:
    """Writes named cells. Neighbours go in one request, and the request with the cell `last` goes last."""

    def __init__(self, cells: Mapping[str, PlcCell], last: str) -> None:
        self._runs = sorted(_runs(cells), key=lambda run: last in run)

    def write(self, memory: PlcMemory, values: Mapping[str, Number]) -> None:
        """Write all values. Raises DeviceError."""
        for run in self._runs:
            content = b"".join(cell.pack(values[name]) for name, cell in run.items())
            memory.write(next(iter(run.values())), content)


def _runs(cells: Mapping[str, PlcCell]) -> list[dict[str, PlcCell]]:
    """Cells that lie side by side without a gap: nothing of the PLC's own is written over."""
    runs: list[dict[str, PlcCell]] = []
    end: tuple[tuple[str, int, bool], int] | None = None
    for name, cell in sorted(cells.items(), key=lambda item: (item[1].memory, item[1].start)):
        if end != (cell.memory, cell.start):
            runs.append({})
        runs[-1][name] = cell
        end = cell.memory, cell.start + cell.size
    return runs
