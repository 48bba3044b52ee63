"""The two blocks value by value, by their names. So their memory may be optimised, and has no bytes to address.

A record is read or written as one request with an item for each value. The PLC may change a record while it answers,
and may run between two items of a write. Both are seen by the record's CRC, as a torn record is over any other wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from s7commplus.client import (
    SymbolicReadItem,
    _build_explore_request,
    _build_multi_symbolic_read_payload,
    _build_multi_symbolic_write_payload,
    _parse_read_response,
    _parse_write_response_errors,
)
from s7commplus.codec import parse_or_raise_for_return_value
from s7commplus.connection import S7CommPlusConnection as Session
from s7commplus.protocol import FunctionCode, Ids

from edge_inspector.plc.blocks import Block
from edge_inspector.plc.s7commplus_connection import S7CommPlusConnection, S7CommPlusSettings, TimedClient
from edge_inspector.plc.s7commplus_symbols import Symbol, symbols_of

_NO_CRC = 0  # CPUs refuse the CRC that a browse tells: it is not the one of the whole way to a value
_PLAN = "are db_plc and db_edge right, and the blocks those of deploy/plc?"
_CHANGED = "was the block loaded anew? Its names are looked up again at the next connection"


class ValueClient(TimedClient):
    """The package's client, for many values at once and for single types."""

    def type_of(self, number: int) -> bytes:
        """The answer to an Explore of one type, from the byte behind its return value."""
        answer = self._send(FunctionCode.EXPLORE, _build_explore_request(number, []), integrity_tail=5, reassemble=True)
        return answer[parse_or_raise_for_return_value(answer, f"Explore of type {number:#x}") :]

    def plan(self, symbols: Sequence[Symbol]) -> list[tuple[list[Symbol], bytes]]:
        """The requests that read these values, each with those that it asks for. Every connection needs its own."""

        def build(items: list[Symbol]) -> bytes:
            asked: list[SymbolicReadItem] = [(each.area, list(each.lids), _NO_CRC) for each in items]
            return _build_multi_symbolic_read_payload(asked, self._version)

        return self._plan_requests(symbols, build)

    def read_planned(self, plan: Sequence[tuple[list[Symbol], bytes]]) -> list[tuple[Symbol, bytes]]:
        """The bytes of each value of the plan, the high byte first. Raises RuntimeError for one that is refused."""
        found: list[tuple[Symbol, bytes]] = []
        for symbols, request in plan:
            answer = self._send(FunctionCode.GET_MULTI_VARIABLES, request)
            values = _parse_read_response(answer, expected_count=len(symbols))
            if not values:
                raise RuntimeError(f"the CPU refused to read {symbols[0].name}, and what was asked with it")
            for symbol, value in zip(symbols, values, strict=True):
                if value is None or len(value) != symbol.size:
                    told = "refused to read" if value is None else f"told {len(value)} bytes, not {symbol.size}, for"
                    raise RuntimeError(f"the CPU {told} {symbol.name}")
                found.append((symbol, value))
        return found

    def write_values(self, values: Sequence[tuple[Symbol, bytes]]) -> None:
        """Write all in the order given, in as few requests as the CPU allows. Raises RuntimeError for a refused one."""

        def build(items: list[tuple[Symbol, bytes]]) -> bytes:
            told = [(each.area, list(each.lids), value, _NO_CRC, each.datatype) for each, value in items]
            return _build_multi_symbolic_write_payload(told, self._version)

        for items, request in self._plan_requests(values, build):
            answer = self._send(FunctionCode.SET_MULTI_VARIABLES, request)
            refused = _parse_write_response_errors(answer, expected_count=len(items))
            if refused:
                number, code = next(iter(refused.items()))
                raise RuntimeError(f"the CPU refused to write {items[number - 1][0].name} (error {code:#x})")

    @property
    def _version(self) -> int:
        return self._session.object_qualifier_version

    def _send(self, function: FunctionCode, payload: bytes, **how: Any) -> bytes:
        return self._session.send_request(function, payload, **how)

    @property
    def _session(self) -> Session:
        if self._connection is None:
            raise RuntimeError("not connected")
        return self._connection


class S7CommPlusValues(S7CommPlusConnection):
    """Reads and writes the bytes of `layouts` (place -> block) through their values. Reserved bytes read as zero."""

    client_kind: ClassVar = ValueClient

    def __init__(self, settings: S7CommPlusSettings, layouts: Mapping[int, Block]) -> None:
        super().__init__(settings)
        self._layouts = layouts
        self._symbols: dict[int, tuple[Symbol, ...]] = {}
        self._plans: dict[tuple[int, int, int], list[tuple[list[Symbol], bytes]]] = {}

    def open(self) -> None:
        """Connect. Names are looked up when they are needed: they may have other addresses than before.

        Raises DeviceError.
        """
        self._symbols.clear()
        self._plans.clear()
        super().open()

    def read(self, db: int, start: int, size: int) -> bytes:
        """Read the values within `size` bytes of a block. Raises DeviceError."""
        what = f"{self.address}: cannot read {self._label(db)} bytes {start}..{start + size - 1}"
        key = db, start, size
        if key not in self._plans:
            symbols = self._within(db, start, size)
            self._plans[key] = self._ask(what, lambda client: client.plan(symbols), _CHANGED)
        values = self._ask(what, lambda client: client.read_planned(self._plans[key]), _CHANGED)
        content = bytearray(size)
        for symbol, value in values:
            content[symbol.start - start : symbol.start - start + symbol.size] = value
        return bytes(content)

    def write(self, db: int, start: int, content: bytes) -> None:
        """Write whole records, their first values last. A write that times out may still be applied.

        Raises DeviceError.
        """
        what = f"{self.address}: cannot write {self._label(db)} bytes {start}..{start + len(content) - 1}"
        values = [
            (symbol, content[symbol.start - start :][: symbol.size])
            for symbol in reversed(self._within(db, start, len(content)))
        ]
        self._ask(what, lambda client: client.write_values(values), _CHANGED)

    def _within(self, place: int, start: int, size: int) -> list[Symbol]:
        """The values whose bytes are all within, by rising `start`."""
        if place not in self._symbols:
            self._symbols[place] = self._look_up_values(place)
        end = start + size
        return [each for each in self._symbols[place] if start <= each.start and each.start + each.size <= end]

    def _look_up_values(self, place: int) -> tuple[Symbol, ...]:
        label, area = self._label(place), Ids.DB_ACCESS_AREA_BASE + self.number(place)
        what = f"{self.address}: cannot look up the values of {label}"
        found: tuple[Symbol, ...] = self._ask(
            what, lambda client: symbols_of(client, area, label, self._layouts[place]), _PLAN
        )
        return found

    def _label(self, place: int) -> str:
        return self._settings.names.get(place) or f"DB{place}"
