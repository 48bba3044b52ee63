"""The two data blocks: what the wire looks like, byte by byte, and that the PLC's manual says the same."""

import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.plc.blocks import (
    DB_EDGE,
    DB_PLC,
    EDGE_HEADER,
    ENCODER,
    PLC_HEADER,
    TRIGGER,
    TRIGGER_SLOTS,
    VERDICT,
    VERDICT_SLOTS,
    Block,
    Record,
    wrap32,
)

RECORDS = [PLC_HEADER, ENCODER, TRIGGER, EDGE_HEADER, VERDICT]
BLOCKS = [DB_PLC, DB_EDGE]
MANUAL = Path(__file__).parents[2] / "docs" / "plc.md"
SIZES = {"USINT": 1, "UINT": 2, "WORD": 2, "DINT": 4, "UDINT": 4, "REAL": 4}

# Programmed into PLCs: a change here is a new layout version.
GOLDEN = {
    "PlcHeader": (
        32,
        (
            "0 layout_version UINT, 2 control WORD, 4 boot_id UDINT, 8 heartbeat UDINT, 12 ack_session UDINT, "
            "16 ack_seq UDINT, 20 trigger_seq UDINT, 24 recipe_id UINT, 26 missing_verdicts UINT"
        ),
    ),
    "Encoder": (16, "0 boot_id UDINT, 4 count DINT, 8 time_us UDINT"),
    "Trigger": (16, "0 part_seq UDINT, 4 count DINT, 8 flags WORD"),
    "EdgeHeader": (
        64,
        (
            "0 layout_version UINT, 2 status WORD, 4 boot_id UDINT, 8 heartbeat UDINT, 12 session_id UDINT, "
            "16 plc_boot_id UDINT, 20 last_seq UDINT, 24 parts UDINT, 28 rejected UDINT, 32 not_inspected UDINT, "
            "36 error_code UINT, 38 recipe_id UINT"
        ),
    ),
    "Verdict": (
        64,
        (
            "0 seq UDINT, 4 session_id UDINT, 8 part_seq UDINT, 12 capture_count DINT, 16 due_count DINT, "
            "20 decision USINT, 21 reason USINT, 22 grade USINT, 23 defect_class USINT, 24 flags WORD, "
            "26 recipe_id UINT, "
            "28 area_mm2 REAL, 32 max_confidence REAL, 36 latency_us UDINT, 40 error_mm REAL"
        ),
    ),
}
BLANK = {"USINT": 0, "UINT": 0, "WORD": 0, "DINT": 0, "UDINT": 0, "REAL": 0.0}

every_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
every_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)


def table(record: Record) -> list[str]:
    """The rows of docs/plc.md for this record."""
    return [f"| {offset} | `{field.name}` | {field.s7_type} | {field.meaning} |" for offset, field in record.offsets()]


def packed(record: Record, **values: float) -> bytes:
    return record.pack(**({field.name: BLANK[field.s7_type] for field in record.fields} | values))


def crc16(content: bytes) -> int:
    """CRC-16/CCITT-FALSE bit by bit, as a PLC would compute it: 16#1021, start 16#FFFF, not reflected."""
    crc = 0xFFFF
    for byte in content:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
        crc &= 0xFFFF
    return crc


@every_record
def test_a_record_fits_what_small_cpus_copy_consistently(record: Record) -> None:
    assert record.size <= 64
    assert len(packed(record)) == record.size


@every_record
def test_sizes_and_offsets_are_those_programmed_into_plcs(record: Record) -> None:
    fields = ", ".join(f"{offset} {field.name} {field.s7_type}" for offset, field in record.offsets())
    assert (record.size, fields) == GOLDEN[record.name]


@every_record
def test_fields_do_not_overlap_leave_no_gap_and_end_before_the_crc(record: Record) -> None:
    end = 0
    for offset, field in record.offsets():
        assert offset == end
        end = offset + SIZES[field.s7_type]
    assert end <= record.size - 2


@every_record
def test_words_and_double_words_lie_on_even_addresses_as_s7_aligns_them(record: Record) -> None:
    assert [field.name for offset, field in record.offsets() if SIZES[field.s7_type] > 1 and offset % 2] == []


@every_record
def test_each_field_is_big_endian_at_its_offset(record: Record) -> None:
    for offset, field in record.offsets():
        size = SIZES[field.s7_type]
        value = -1.5 if field.s7_type == "REAL" else 0x0A0B0C0D % (1 << 8 * size)
        raw = packed(record, **{field.name: value})
        wire = struct.pack(">f", value) if field.s7_type == "REAL" else int(value).to_bytes(size, "big")
        assert raw[offset : offset + size] == wire
        assert not any(raw[:offset] + raw[offset + size : -2])


def test_the_crc_is_the_one_the_manual_names() -> None:
    assert crc16(b"123456789") == 0x29B1
    for record in RECORDS:
        raw = packed(record)
        assert crc16(raw[:-2]) == int.from_bytes(raw[-2:], "big")


@every_record
def test_what_is_packed_comes_back(record: Record) -> None:
    values = {field.name: 0.5 if field.s7_type == "REAL" else at + 1 for at, field in enumerate(record.fields)}
    assert record.unpack(record.pack(**values)) == values
    assert record.unpack(bytearray(record.pack(**values))) == values


@every_record
def test_a_field_left_out_or_out_of_range_is_an_error_not_a_zero(record: Record) -> None:
    values = {field.name: BLANK[field.s7_type] for field in record.fields}
    first = record.fields[0].name
    with pytest.raises(KeyError):
        record.pack(**{name: value for name, value in values.items() if name != first})
    with pytest.raises(struct.error):
        record.pack(**(values | {first: -1}))


@given(st.data())
def test_the_crc_detects_any_single_flipped_bit(data: st.DataObject) -> None:
    record = data.draw(st.sampled_from(RECORDS))
    body = data.draw(st.binary(min_size=record.size - 2, max_size=record.size - 2))
    raw = body + crc16(body).to_bytes(2, "big")
    assert record.unpack(raw) is not None
    bit = data.draw(st.integers(0, 8 * record.size - 1))
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << bit % 8
    assert record.unpack(flipped) is None


@given(st.data())
def test_half_of_one_record_and_half_of_another_is_not_a_record(data: st.DataObject) -> None:
    old, new = (packed(VERDICT, seq=seq, session_id=9, part_seq=seq, due_count=seq * 4000) for seq in (1, 33))
    cut = data.draw(st.integers(4, VERDICT.size - 1))
    assert VERDICT.unpack(new[:cut] + old[cut:]) is None


@every_record
def test_blank_memory_and_wrong_sizes_are_not_records(record: Record) -> None:
    assert record.unpack(bytes(record.size)) is None
    assert record.unpack(b"\xff" * record.size) is None
    assert record.unpack(packed(record) + b"\0") is None
    assert record.unpack(packed(record)[:-1]) is None
    assert record.unpack(b"") is None


@every_block
def test_records_of_a_block_do_not_overlap_and_end_with_it(block: Block) -> None:
    spans = [
        (block.offset(record, slot), block.offset(record, slot) + record.size)
        for _, slots, record in block.parts
        for slot in range(slots)
    ]
    assert all(end <= begin for (_, end), (begin, _) in pairwise(sorted(spans)))
    assert min(spans)[0] == 0
    assert max(spans)[1] == block.size


def test_the_blocks_are_where_and_as_large_as_plcs_have_them() -> None:
    assert (DB_PLC.size, DB_EDGE.size) == (320, 2112)
    assert (TRIGGER_SLOTS, VERDICT_SLOTS) == (16, 32)
    assert [DB_PLC.offset(PLC_HEADER), DB_PLC.offset(ENCODER), DB_PLC.offset(TRIGGER)] == [0, 32, 64]
    assert [DB_EDGE.offset(EDGE_HEADER), DB_EDGE.offset(VERDICT)] == [0, 64]
    assert DB_PLC.offset(TRIGGER, 15) == 304
    assert DB_EDGE.offset(VERDICT, 31) == 2048


def test_the_plc_block_is_read_in_one_consistent_pdu() -> None:
    assert DB_PLC.size <= 462


@every_record
def test_the_plc_manual_shows_exactly_these_offsets(record: Record) -> None:
    manual = MANUAL.read_text(encoding="utf-8")
    chapter = manual.partition(f"**{record.name}**")[2].partition("\n**")[0].partition("<!--")[0]
    rows = [line for line in chapter.splitlines() if line.startswith("| ") and "`" in line]
    assert [row for row in rows if "`crc`" not in row] == table(record)
    (crc,) = [row for row in rows if "`crc`" in row]
    assert crc.startswith(f"| {record.size - 2} | `crc` | WORD |")


@every_block
def test_the_plc_manual_knows_each_block_its_writer_and_its_size(block: Block) -> None:
    assert f"`{block.name}`, written by the {block.writer}, {block.size} bytes" in MANUAL.read_text(encoding="utf-8")


@given(st.integers())
def test_wrap32_keeps_the_value_modulo_2_to_the_32_in_a_dint(count: int) -> None:
    wrapped = wrap32(count)
    assert -(2**31) <= wrapped < 2**31
    assert (wrapped - count) % 2**32 == 0


if __name__ == "__main__":
    for each in RECORDS:
        print(f"**{each.name}**\n\n| offset | name | type | meaning |\n|---|---|---|---|")  # noqa: T201
        print("\n".join(table(each)), end="\n\n")  # noqa: T201


@pytest.mark.parametrize("known", [PLC_HEADER, ENCODER, TRIGGER, EDGE_HEADER, VERDICT], ids=lambda known: known.name)
def test_a_record_is_what_its_fields_and_size_say(known: Record) -> None:
    made = Record(known.name, known.size, *known.fields)
    assert (made.name, made.size, made.fields) == (known.name, known.size, known.fields)
    assert made.offsets() == known.offsets()
    values = {field.name: number for number, field in enumerate(known.fields, 1)}
    raw = made.pack(**values)
    assert len(raw) == known.size
    assert raw == known.pack(**values)
    last, field = made.offsets()[-1]
    used = last + {"USINT": 1, "UINT": 2, "WORD": 2}.get(field.s7_type, 4)
    assert raw[used:-2] == bytes(known.size - 2 - used)
    assert made.unpack(raw) == values


@pytest.mark.parametrize(
    ("count", "wrapped"),
    [
        (0, 0),
        (2**31 - 1, 2**31 - 1),
        (2**31, -(2**31)),
        (-(2**31), -(2**31)),
        (-(2**31) - 1, 2**31 - 1),
        (2**32 + 5, 5),
    ],
)
def test_a_count_wraps_like_a_dint(count: int, wrapped: int) -> None:
    assert wrap32(count) == wrapped
