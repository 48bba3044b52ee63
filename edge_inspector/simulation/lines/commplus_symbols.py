"""An S7CommPlus server whose blocks are optimised: it tells their types, and serves values by their addresses only.

It extends the emulator of the package s7commplus, which knows neither. What it says on the wire is what the package's
own client reads, and what thomas-v2/S7CommPlusDriver documents. No CPU was asked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from s7commplus.codec import decode_pvalue_to_bytes, encode_pvalue_typed
from s7commplus.protocol import DataType, ElementID, FunctionCode, Ids
from s7commplus.server import S7CommPlusServer
from s7commplus.typeinfo import VARNAME_LIST, VARTYPE_LIST, Softdatatype
from s7commplus.vlq import decode_uint32_vlq, encode_uint32_vlq, encode_uint64_vlq

from edge_inspector.plc.blocks import DB_PLC, ENCODER, PLC_HEADER, TRIGGER, VERDICT, Block, Record

_REFUSED = 0x8009890012CBFFEF  # what an S7-1500 said of a CRC that did not fit
_WIRE = {"USINT": DataType.USINT, "UINT": DataType.UINT, "WORD": DataType.WORD, "DINT": DataType.DINT,
         "UDINT": DataType.UDINT, "REAL": DataType.REAL}  # fmt: skip
_SIZES = {"USINT": 1, "UINT": 2, "WORD": 2, "DINT": 4, "UDINT": 4, "REAL": 4}
_MEMBERS = {PLC_HEADER: "header", ENCODER: "encoder", TRIGGER: "triggers", VERDICT: "verdicts"}
_STD, _ARRAY, _STRUCT, _STRUCTS = 8, 10, 12, 13  # kinds of address in a list of members
_RESERVED_LID = 200


class Member:
    """One member of a type. `of`: the number of its own type, if it is a structure. `count`: elements of an array."""

    def __init__(self, name: str, lid: int, softdatatype: int, *, of: int = 0, count: int = 0, first: int = 0) -> None:
        self.name, self.lid, self.softdatatype = name, lid, softdatatype
        self.of, self.count, self.first = of, count, first

    def packed(self) -> bytes:
        """As in a list of members. Nobody looks at its bytes in the memory."""
        if self.of and self.count:
            kind, place = (
                _STRUCTS,
                struct.pack("<HHIIiIII5I", 0, 0, 0, 0, self.first, self.count, 0, 0, self.of, *[0] * 4),
            )
        elif self.of:
            kind, place = _STRUCT, struct.pack("<HHII5I", 0, 0, 0, 0, self.of, *[0] * 4)
        elif self.count:
            kind, place = _ARRAY, struct.pack("<HHIIiI", 0, 0, 0, 0, self.first, self.count)
        else:
            kind, place = _STD, struct.pack("<HH", 0, 0)
        crc = 0xDEAD0000 + self.lid
        return struct.pack("<IIB", self.lid, crc, self.softdatatype) + struct.pack(">HB", kind << 12, 0) + place


class _Place:
    """Where a value lies in a block's memory."""

    def __init__(self, start: int, s7_type: str) -> None:
        self.start, self.size, self.datatype = start, _SIZES[s7_type], _WIRE[s7_type]


class SymbolServer(S7CommPlusServer):
    """Blocks of deploy/plc without bytes to address: their names and layouts by their numbers.

    Numbers of members differ from block to block, as those of a real CPU do. `asked` has every value that was asked
    for: its block's number and the numbers on the way to it.
    """

    def __init__(self, names: Mapping[int, str], layouts: Mapping[int, Block], **settings: Any) -> None:
        super().__init__(**settings)
        self.names = dict(names)
        self.types: dict[int, list[Member]] = {}
        self.type_of: dict[int, int] = {}
        self.places: dict[tuple[int, ...], _Place] = {}
        self.asked: set[tuple[int, ...]] = set()
        for number, layout in layouts.items():
            self._describe(number, layout)

    def _describe(self, number: int, layout: Block) -> None:
        self.type_of[number] = 0x92000000 + number
        members = self.types[self.type_of[number]] = []
        for nth, (at, count, record) in enumerate(layout.parts):
            lid, of = 9 + nth + number, 0x91A10000 + 16 * number + nth  # one byte looks like the beginning of an object
            name = _MEMBERS.get(record, "header")
            members.append(Member(name, lid, Softdatatype.STRUCT, of=of, count=count if count > 1 else 0))
            self.types[of] = list(_fields(record, number))
            for element in range(count):
                way = (lid,) if count == 1 else (lid, element, 1)
                self._place(number, way, record, at + element * record.size)
        if layout is DB_PLC:
            members.insert(2, Member("reserved", _RESERVED_LID, Softdatatype.BYTE, count=16))

    def _place(self, number: int, way: tuple[int, ...], record: Record, start: int) -> None:
        known = {member.name: member.lid for member in _fields(record, number)}
        values = [(at, field.name, field.s7_type) for at, field in record.offsets()] + [
            (record.size - 2, "crc", "WORD")
        ]
        for at, name, s7_type in values:
            self.places[number, *way, known[name]] = _Place(start + at, s7_type)

    def move(self, number: int, member: str) -> None:
        """As if the block had been loaded anew, and this member of it had got another address."""
        found = next(each for each in self.types[self.type_of[number]] if each.name == member)
        old, found.lid = found.lid, found.lid + 50
        for way in [way for way in self.places if way[:2] == (number, old)]:
            self.places[number, found.lid, *way[2:]] = self.places.pop(way)

    def _handle_explore(self, seq_num: int, session_id: int, request_data: bytes) -> bytes:  # noqa: ARG002
        asked = struct.unpack_from(">I", request_data)[0]
        answer = bytearray(self._build_response_header(FunctionCode.EXPLORE, seq_num))
        if asked == Ids.NATIVE_THE_PLC_PROGRAM_RID:
            answer += encode_uint64_vlq(0) + b"".join(map(self._block, sorted(self._data_blocks)))
        elif asked in self.types:
            answer += encode_uint64_vlq(0) + struct.pack(">I", asked) + self._type(asked)
        else:
            answer += encode_uint64_vlq(0x8020AB001992FFF4)
        return bytes(answer) + struct.pack(">I", 0)

    def _block(self, number: int) -> bytes:
        name = self.names.get(number, f"DB{number}").encode()
        return (
            _begun(Ids.DB_ACCESS_AREA_BASE | number, Ids.DB_CLASS_RID)
            + bytes([ElementID.ATTRIBUTE]) + encode_uint32_vlq(Ids.OBJECT_VARIABLE_TYPE_NAME)
            + bytes([0, DataType.WSTRING]) + encode_uint32_vlq(len(name)) + name
            + bytes([ElementID.TERMINATING_OBJECT])
        )  # fmt: skip

    def _type(self, number: int) -> bytes:
        members = self.types[number]
        elements = struct.pack("<I", 1) + b"".join(member.packed() for member in members[:5])
        more = b"".join(member.packed() for member in members[5:])
        names = b"".join(bytes([len(each.name)]) + each.name.encode() + b"\0" for each in members)
        blocks = [block for block in (elements, more) if block]
        inner = (
            _begun(number, Ids.CLASS_TYPE_INFO)
            + bytes([VARTYPE_LIST]) + b"".join(struct.pack(">H", len(each)) + each for each in blocks) + b"\0\0"
            + bytes([VARNAME_LIST]) + struct.pack(">H", len(names)) + names + b"\0\0"
            + bytes([ElementID.TERMINATING_OBJECT])
        )  # fmt: skip
        return _begun(Ids.OBJECT_OMS_TYPE_INFO_CONTAINER, Ids.CLASS_OMS_TYPE_INFO_CONTAINER) + inner + b"\xa2"

    def _handle_get_multi_variables(self, seq_num: int, session_id: int, request_data: bytes) -> bytes:  # noqa: ARG002
        items, _ = _addresses(request_data)
        values, errors = bytearray(), bytearray()
        for nth, (crc, way) in enumerate(items, 1):
            value = None if crc else self._value(way)
            if value is None:
                errors += encode_uint32_vlq(nth) + encode_uint64_vlq(_REFUSED)
            else:
                values += encode_uint32_vlq(nth) + value
        return self._answered(FunctionCode.GET_MULTI_VARIABLES, seq_num, bytes(values) + b"\0" + bytes(errors))

    def _value(self, way: tuple[int, ...]) -> bytes | None:
        number = way[0] if way else 0
        self.asked.add(way)
        if number not in self._data_blocks:
            return None
        if way[1:] == (1,):
            return encode_pvalue_typed(DataType.RID, struct.pack(">I", self.type_of.get(number, 0)))
        place = self.places.get(way)
        if place is None:
            return None
        return encode_pvalue_typed(place.datatype, self._data_blocks[number].read(place.start, place.size))

    def _handle_set_multi_variables(self, seq_num: int, session_id: int, request_data: bytes) -> bytes:
        if self._is_session_setup_write(request_data):
            return super()._handle_set_multi_variables(seq_num, session_id, request_data)
        items, at = _addresses(request_data)
        errors = bytearray()
        for nth, (crc, way) in enumerate(items, 1):
            _, used = decode_uint32_vlq(request_data, at)
            datatype = request_data[at + used + 1]
            value, size = decode_pvalue_to_bytes(request_data, at + used)
            at += used + size
            place = self.places.get(way)
            if crc or place is None or way[0] not in self._data_blocks or datatype != place.datatype:
                errors += encode_uint32_vlq(nth) + encode_uint64_vlq(_REFUSED)
            else:
                self._data_blocks[way[0]].write(place.start, value)
        return self._answered(FunctionCode.SET_MULTI_VARIABLES, seq_num, bytes(errors))

    def _answered(self, function: FunctionCode, seq_num: int, body: bytes) -> bytes:
        answer = self._build_response_header(function, seq_num) + encode_uint64_vlq(0) + body + b"\0"
        return answer if self._use_tls else answer + b"\0"  # without TLS an integrity number of 0 follows


def _fields(record: Record, number: int) -> Iterator[Member]:
    """The members of a record's type. The LIDs of one block are not those of another."""
    names = [(field.name, field.s7_type) for field in record.fields]
    for nth, (name, s7_type) in enumerate([*names, ("crc", "WORD")]):
        yield Member(name, 9 + 2 * nth + number % 7, Softdatatype[s7_type])
    yield Member("reserved", _RESERVED_LID, Softdatatype.BYTE, count=2)


def _begun(number: int, kind: int) -> bytes:
    return bytes([ElementID.START_OF_OBJECT]) + struct.pack(">I", number) + encode_uint32_vlq(kind) + b"\0\0"


def _addresses(request: bytes) -> tuple[list[tuple[int, tuple[int, ...]]], int]:
    """CRC, block number and LIDs of each item, and where they end."""
    at = 4

    def number() -> int:
        nonlocal at
        found, used = decode_uint32_vlq(request, at)
        at += used
        return found

    count, _ = number(), number()
    items = []
    for _ in range(count):
        crc, area, lids, of = number(), number(), number(), number()
        way = area & 0xFFFF, *(number() for _ in range(lids - 1))
        items.append((crc, way if of == Ids.DB_VALUE_ACTUAL else ()))
    return items, at
