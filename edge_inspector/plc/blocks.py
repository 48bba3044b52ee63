"""The two data blocks between PLC and daemon. Both sides and docs/plc.md are made from this one definition.

Big-endian, non-optimised. Only the PLC writes `DB_Plc`, only the daemon writes `DB_Edge`. Every record has at most 64
bytes (the size that small S7 CPUs copy consistently) and ends in a CRC-16/CCITT-FALSE over the bytes before it.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Any

LAYOUT_VERSION = 1
TRIGGER_SLOTS = 16
VERDICT_SLOTS = 32

CONTROL_ENABLE = 1 << 0
CONTROL_RESET = 1 << 1
CONTROL_LINE_RUNNING = 1 << 2
CONTROL_CHALLENGE = 1 << 3

STATUS_READY = 1 << 0
STATUS_BUSY = 1 << 1
STATUS_DEGRADED = 1 << 2
STATUS_FAULT = 1 << 3
STATUS_ALARM = 1 << 4
STATUS_OFF = 1 << 5

TRIGGER_ANSWERED = 1 << 0
TRIGGER_GOOD = 1 << 1
TRIGGER_BAD = 1 << 2
VERDICT_REJECTS = 1 << 0

_FORMATS = {"USINT": "B", "UINT": "H", "WORD": "H", "DINT": "i", "UDINT": "I", "REAL": "f"}


@dataclass(frozen=True, slots=True)
class Field:
    """One variable of a record: its S7 type and its meaning."""

    name: str
    s7_type: str
    meaning: str


class Record:
    """A packed, CRC-closed structure. `size` includes reserved bytes before the CRC."""

    def __init__(self, name: str, size: int, *fields: Field) -> None:
        self.name = name
        self.size = size
        self.fields = fields
        body = ">" + "".join(_FORMATS[field.s7_type] for field in fields)
        self._struct = struct.Struct(body)
        self._reserved = bytes(size - 2 - self._struct.size)
        self._names = tuple(field.name for field in fields)

    def offsets(self) -> list[tuple[int, Field]]:
        """Each field with its byte offset from the record's start."""
        found, offset = [], 0
        for field in self.fields:
            found.append((offset, field))
            offset += struct.calcsize(">" + _FORMATS[field.s7_type])
        return found

    def pack(self, **values: Any) -> bytes:
        """The record's bytes, with the CRC. Every field must be given."""
        body = self._struct.pack(*map(values.__getitem__, self._names)) + self._reserved
        return body + crc_hqx(body, 0xFFFF).to_bytes(2, "big")

    def unpack(self, raw: bytes | bytearray) -> dict[str, Any] | None:
        """The fields, or None if the CRC is wrong (the record is torn, blank or foreign)."""
        if len(raw) != self.size or crc_hqx(raw[:-2], 0xFFFF) != int.from_bytes(raw[-2:], "big"):
            return None
        return dict(zip(self._names, self._struct.unpack_from(raw), strict=True))


PLC_HEADER = Record(
    "PlcHeader",
    32,
    Field("layout_version", "UINT", "1. The daemon refuses other values"),
    Field(
        "control", "WORD", "bit 0 enable, bit 1 reset, bit 2 line_running, bit 3 challenge (see `challenge.plc_bit`)"
    ),
    Field("boot_id", "UDINT", "new at every start of the PLC, never 0"),
    Field("heartbeat", "UDINT", "counts up once per scan"),
    Field("ack_session", "UDINT", "session_id of the ring that ack_seq belongs to"),
    Field("ack_seq", "UDINT", "last verdict slot consumed in that session, 0 if none yet"),
    Field("trigger_seq", "UDINT", "part_seq of the newest trigger, 0 if none yet"),
    Field("recipe_id", "UINT", "recipe that the line expects, 0 for any"),
    Field("missing_verdicts", "UINT", "parts that met the gate without a verdict, in this run of the PLC. It wraps"),
)
ENCODER = Record(
    "Encoder",
    16,
    Field("boot_id", "UDINT", "as in the header"),
    Field("count", "DINT", "encoder count. It wraps at 32 bits, or where the station file says"),
    Field("time_us", "UDINT", "the PLC's clock at the instant of the count, wraps at 32 bits"),
)
TRIGGER = Record(
    "Trigger",
    16,
    Field("part_seq", "UDINT", "number of the part, from 1. The slot is part_seq mod 16"),
    Field("count", "DINT", "encoder count latched when the part's leading edge met the photo-eye"),
    Field("flags", "WORD", "bit 0 answered: a verdict for this part was consumed. Bit 1 known good, bit 2 known bad"),
)
EDGE_HEADER = Record(
    "EdgeHeader",
    64,
    Field("layout_version", "UINT", "1. The PLC refuses other values"),
    Field("status", "WORD", "bits from 0: ready, busy, degraded, fault, alarm, off. None set: not ready"),
    Field("boot_id", "UDINT", "new at every start of the daemon, never 0"),
    Field("heartbeat", "UDINT", "counts up at every write of this header"),
    Field("session_id", "UDINT", "new whenever the daemon or the PLC has started: the ring begins again at seq 1"),
    Field("plc_boot_id", "UDINT", "the PLC boot_id that this session answers"),
    Field("last_seq", "UDINT", "newest slot written in this session"),
    Field("parts", "UDINT", "verdicts of this daemon's run"),
    Field("rejected", "UDINT", "of these REJECT"),
    Field("not_inspected", "UDINT", "of these NOT_INSPECTED"),
    Field("error_code", "UINT", "0: none. Others: [error codes](reference.md#error-codes)"),
    Field("recipe_id", "UINT", "recipe in force"),
)
VERDICT = Record(
    "Verdict",
    64,
    Field("seq", "UDINT", "1, 2, 3 ... in this session. The slot is seq mod 32"),
    Field("session_id", "UDINT", "as in the header. A slot of another session is not valid"),
    Field("part_seq", "UDINT", "the part that this verdict answers"),
    Field("capture_count", "DINT", "belt position at the last view, 0 without one"),
    Field(
        "due_count",
        "DINT",
        "belt position at which the part's leading edge meets the gate. Not valid with reason 16 or 21",
    ),
    Field("decision", "USINT", "1 ACCEPT, 2 REJECT, 3 NOT_INSPECTED"),
    Field("reason", "USINT", "0 none, 1 defect, 10.. why not inspected: [reasons](reference.md#decisions-and-reasons)"),
    Field("grade", "USINT", "ASCII A, B or C, or 0 for none"),
    Field("defect_class", "USINT", "1 + the worst defect's index in the model's classes, 0 without a defect"),
    Field("flags", "WORD", "bit 0 rejects: the gate fires at due_count"),
    Field("recipe_id", "UINT", "recipe that judged"),
    Field("area_mm2", "REAL", "sum over the defects"),
    Field("max_confidence", "REAL", "0..1"),
    Field("latency_us", "UDINT", "last view's middle of exposure to decision"),
    Field("error_mm", "REAL", "bound on the error of the views' positions"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One data block: records at fixed offsets."""

    name: str
    writer: str
    size: int
    parts: tuple[tuple[int, int, Record], ...]

    def offset(self, record: Record, slot: int = 0) -> int:
        """Byte offset of the record (of its ring slot)."""
        return next(at for at, _, found in self.parts if found is record) + slot * record.size


DB_PLC = Block(
    "DB_Plc",
    "PLC",
    64 + TRIGGER_SLOTS * TRIGGER.size,
    ((0, 1, PLC_HEADER), (32, 1, ENCODER), (64, TRIGGER_SLOTS, TRIGGER)),
)
DB_EDGE = Block(
    "DB_Edge",
    "daemon",
    64 + VERDICT_SLOTS * VERDICT.size,
    ((0, 1, EDGE_HEADER), (64, VERDICT_SLOTS, VERDICT)),
)


def wrap32(count: int) -> int:
    """The count as the signed 32-bit value that a DINT holds."""
    return ((count + 2**31) & 0xFFFFFFFF) - 2**31
