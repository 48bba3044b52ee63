"""Where the PLC keeps each value of the two blocks, found by name.

Only the types of these blocks are asked for, because a browse of a whole CPU costs far more. The way from a name to an
address is the one of thomas-v2/S7CommPlusDriver and of the package: a block's value with LID 1 is the number of its
type, and a type lists its members with name, LID, data type and, for a structure, the number of the structure's type.
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

from s7commplus.protocol import DataType
from s7commplus.typeinfo import (
    START_OF_OBJECT,
    PObject,
    Softdatatype,
    VartypeListElement,
    parse_object_list,
)

from edge_inspector.plc.blocks import ENCODER, TRIGGER, VERDICT, Block, Record

_TYPES = {
    "USINT": (Softdatatype.USINT, DataType.USINT),
    "UINT": (Softdatatype.UINT, DataType.UINT),
    "WORD": (Softdatatype.WORD, DataType.WORD),
    "DINT": (Softdatatype.DINT, DataType.DINT),
    "UDINT": (Softdatatype.UDINT, DataType.UDINT),
    "REAL": (Softdatatype.REAL, DataType.REAL),
}
_SIZES = {"USINT": 1, "UINT": 2, "WORD": 2, "DINT": 4, "UDINT": 4, "REAL": 4}
_MEMBERS = {ENCODER.name: "encoder", TRIGGER.name: "triggers", VERDICT.name: "verdicts"}
_OF_TYPE = 1  # the LID of a block's value that is the number of its type
_ELEMENT = 1  # the LID between an element of an array of structures and its members
_STARTS = 8  # bytes before the first object may look like its beginning
_HOW = "import EI_Types.udt and EI_Blocks.db of deploy/plc as they are, accessible from HMI"


class Types(Protocol):
    """A connection that tells types."""

    @abstractmethod
    def read_symbolic(self, access_area: int, lids: list[int], symbol_crc: int = 0) -> bytes:
        """The bytes of one value."""

    @abstractmethod
    def type_of(self, number: int) -> bytes:
        """The answer to an Explore of one type, from the byte behind its return value."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """One value of a block: its name, its bytes in the layout of docs/plc.md, and its address in the PLC."""

    name: str
    start: int
    size: int
    _: KW_ONLY
    area: int
    lids: tuple[int, ...]
    datatype: DataType


def symbols_of(types: Types, area: int, label: str, layout: Block) -> tuple[Symbol, ...]:
    """Every value of the block, by rising `start`. Reserved bytes have none.

    Raises ValueError for a block that is not as in deploy/plc, and what the connection raises.
    """
    told = types.read_symbolic(area, [_OF_TYPE])
    if len(told) != 4 or not any(told):
        raise ValueError(f"the CPU does not tell the type of {label}. Is it only in load memory?")
    members = _members(types, int.from_bytes(told, "big"), label)
    found: list[Symbol] = []
    for at, count, record in layout.parts:
        name = _MEMBERS.get(record.name, "header")
        member = _named(members, name, label)
        path = f"{label}.{name}"
        _check_shape(member, count, path)
        fields = _members(types, member.offset_info.relation_id, path)
        for element in range(count):
            index = "" if count == 1 else f"[{element}]"
            lids = (member.lid,) if count == 1 else (member.lid, element, _ELEMENT)
            found += _values(record, fields, area=area, path=path + index, start=at + element * record.size, lids=lids)
    return tuple(sorted(found, key=lambda symbol: symbol.start))


def _values(
    record: Record,
    fields: dict[str, VartypeListElement],
    *,
    area: int,
    path: str,
    start: int,
    lids: tuple[int, ...],
) -> Iterator[Symbol]:
    crc = (record.size - 2, "crc", "WORD")
    for at, name, s7_type in (*((at, field.name, field.s7_type) for at, field in record.offsets()), crc):
        member = _named(fields, name, path)
        softdatatype, datatype = _TYPES[s7_type]
        if member.softdatatype != softdatatype or member.offset_info.is_1dim or member.offset_info.is_mdim:
            raise ValueError(f"{path}.{name} is {_type_name(member)}, not {softdatatype.name}: {_HOW}")
        yield Symbol(
            f"{path}.{name}", start + at, _SIZES[s7_type], area=area, lids=(*lids, member.lid), datatype=datatype
        )


def _named(members: dict[str, VartypeListElement], name: str, path: str) -> VartypeListElement:
    if name not in members:
        raise ValueError(f"{path} has no {name!r}: {_HOW}")
    return members[name]


def _check_shape(member: VartypeListElement, count: int, path: str) -> None:
    shape = member.offset_info
    if not shape.has_relation or shape.is_mdim or shape.is_1dim != (count > 1):
        wanted = "a structure" if count == 1 else f"an array of {count} structures"
        raise ValueError(f"{path} is {_type_name(member)}, not {wanted}: {_HOW}")
    if count > 1 and (shape.array_lower_bound, shape.array_element_count) != (0, count):
        first = shape.array_lower_bound
        told = f"[{first}..{first + shape.array_element_count - 1}]"
        raise ValueError(f"{path} is an array {told}, not [0..{count - 1}]: {_HOW}")


def _type_name(member: VartypeListElement) -> str:
    known = member.softdatatype in set(Softdatatype)
    name = Softdatatype(member.softdatatype).name if known else f"type {member.softdatatype}"
    return f"an array of {name}" if member.offset_info.is_1dim or member.offset_info.is_mdim else name


def _members(types: Types, number: int, path: str) -> dict[str, VartypeListElement]:
    """The members of one type by their names."""
    found = _find(types.type_of(number), number)
    if found is None:
        raise ValueError(f"the CPU does not tell what is in {path}. Is the block know-how protected?")
    return dict(zip(found.varname_list, found.vartype_list, strict=False))


def _find(answer: bytes, number: int) -> PObject | None:
    """The type with this number in an answer, wherever its objects begin."""
    at = -1
    for _ in range(_STARTS):
        at = answer.find(START_OF_OBJECT, at + 1)
        if at < 0:
            return None
        try:
            pending, _ = parse_object_list(answer, at)
        except (ValueError, IndexError, AssertionError, RecursionError, struct.error):
            continue
        while pending:
            each = pending.pop()
            if each.relation_id == number and each.vartype_list:
                return each
            pending += each.objects
    return None
