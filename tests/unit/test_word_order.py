"""A PLC that keeps the low word first is read and written as if it did not."""

import struct
from binascii import crc_hqx

from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, ENCODER, PLC_HEADER, TRIGGER, VERDICT
from edge_inspector.plc.word_order import LowWordFirst, turned


class Memory:
    address = "memory"
    is_open = True
    round_trip_ns = (1, 2)

    def __init__(self) -> None:
        self.blocks = {0: bytearray(DB_PLC.size), 1000: bytearray(DB_EDGE.size)}
        self.opened = 0

    def open(self) -> None:
        self.opened += 1

    def read(self, block: int, start: int, size: int) -> bytes:
        return bytes(self.blocks[block][start : start + size])

    def write(self, block: int, start: int, content: bytes) -> None:
        self.blocks[block][start : start + len(content)] = content

    def close(self) -> None:
        self.opened -= 1


def wired() -> tuple[Memory, LowWordFirst]:
    memory = Memory()
    return memory, LowWordFirst(memory, {0: DB_PLC, 1000: DB_EDGE})


def low_first(values: bytes) -> bytes:
    """A record as such a PLC has it: its CRC is made over what lies there."""
    return values + crc_hqx(values, 0xFFFF).to_bytes(2, "big")


def test_what_such_a_plc_publishes_is_read_as_documented() -> None:
    memory, wire = wired()
    words = struct.pack(">HH5IHH2x", 1, 5, *(0x00020001,) * 5, 4, 9)
    memory.blocks[0][:32] = low_first(words)
    memory.blocks[0][32:48] = low_first(struct.pack(">III2x", 0x00070000, 0xFFFEFFFF, 0x00010002))
    raw = wire.read(0, 0, DB_PLC.size)
    header, encoder = PLC_HEADER.unpack(raw[:32]), ENCODER.unpack(raw[32:48])
    assert header is not None
    assert encoder == {"boot_id": 7, "count": -2, "time_us": 0x00020001}
    assert (header["control"], header["recipe_id"], header["missing_verdicts"]) == (5, 4, 9)
    assert header["boot_id"] == header["trigger_seq"] == 0x00010002
    assert wire.read(0, 32, 16) == raw[32:48], "the encoder asks for its record alone"


def test_what_is_written_lies_there_low_word_first() -> None:
    memory, wire = wired()
    verdict = VERDICT.pack(**{field.name: 0 for field in VERDICT.fields} | {"seq": 0x00010002, "area_mm2": 1.5})
    wire.write(1000, DB_EDGE.offset(VERDICT, 2), verdict)
    lies = bytes(memory.blocks[1000][DB_EDGE.offset(VERDICT, 2) : DB_EDGE.offset(VERDICT, 3)])
    assert lies[:4] == bytes([0, 2, 0, 1])
    real = struct.pack(">f", 1.5)
    assert lies[28:32] == real[2:] + real[:2]
    assert VERDICT.unpack(lies) is not None, "with a CRC over the words in their order"
    assert wire.read(1000, DB_EDGE.offset(VERDICT, 2), 64) == verdict


def test_what_is_no_record_is_passed_on_as_it_is() -> None:
    memory, wire = wired()
    memory.blocks[1000][:] = bytes(range(256)) * 8 + bytes(64)
    assert wire.read(1000, 0, DB_EDGE.size) == bytes(memory.blocks[1000])
    header = EDGE_HEADER.pack(**{field.name: 1 for field in EDGE_HEADER.fields})
    assert turned(DB_EDGE, 0, header[:63]) == header[:63], "cut off"
    assert turned(DB_EDGE, 2, header) == header, "nor is it one elsewhere"


def test_it_is_the_connection_below() -> None:
    memory, wire = wired()
    wire.open()
    assert (memory.opened, wire.is_open, wire.round_trip_ns, wire.address) == (1, True, (1, 2), "memory")
    wire.close()
    assert memory.opened == 0


@given(st.binary(min_size=14, max_size=14))
def test_turning_twice_changes_nothing(body: bytes) -> None:
    raw = low_first(body)
    block = bytearray(DB_PLC.size)
    at = DB_PLC.offset(TRIGGER, 3)
    block[at : at + 16] = raw
    assert turned(DB_PLC, 0, turned(DB_PLC, 0, bytes(block))) == bytes(block)
