"""deploy/plc byte by byte: its types, blocks and constants against the code's one definition."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scl import Array, Place, Scalar, Source, Struct

from edge_inspector.codes import Reason
from edge_inspector.plc import blocks
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
)
from edge_inspector.simulation.plc import EDGE_DEAD_NS

FOLDER = Path(__file__).parents[2] / "deploy" / "plc"
FILES = [
    FOLDER / name
    for name in ("EI_Types.udt", "EI_Blocks.db", "EI_EdgeInspector.scl", "EI_Helpers.scl", "EI_CameraFire.scl")
]
TYPES = {
    "EI_PlcHeader": PLC_HEADER,
    "EI_Encoder": ENCODER,
    "EI_Trigger": TRIGGER,
    "EI_EdgeHeader": EDGE_HEADER,
    "EI_Verdict": VERDICT,
}


@pytest.fixture
def source() -> Source:
    return Source(*FILES)


def test_every_file_of_the_folder_is_read() -> None:
    assert sorted([*FILES, FOLDER / "README.md"]) == sorted(FOLDER.iterdir())


@pytest.mark.parametrize(("name", "record"), TYPES.items(), ids=TYPES)
def test_a_type_has_the_records_fields_at_their_offsets(source: Source, name: str, record: Record) -> None:
    kind = source.types[name]
    found = [(at, bit, field, member) for field, (at, bit, member) in kind.places.items()]
    *fields, reserved, crc = found
    assert fields == [(at, 0, field.name, Scalar(field.s7_type)) for at, field in record.offsets()]
    end = record.offsets()[-1][0] + Scalar(record.fields[-1].s7_type).size
    assert reserved == (end, 0, "reserved", Array(0, record.size - 3 - end, Scalar("BYTE")))
    assert crc == (record.size - 2, 0, "crc", Scalar("WORD"))
    assert kind.size == record.size


@pytest.mark.parametrize("block", [DB_PLC, DB_EDGE], ids=lambda block: block.name)
def test_a_block_has_its_records_where_the_code_has_them(source: Source, block: Block) -> None:
    kind = source.data[block.name].kind
    assert isinstance(kind, Struct)
    assert source.attributes[block.name] == {"S7_Optimized_Access": "FALSE"}
    types = {id(kind): TYPES[name] for name, kind in source.types.items() if name in TYPES}
    found = [
        (at, member.high + 1, types[id(member.of)]) if isinstance(member, Array) else (at, 1, types[id(member)])
        for name, (at, _, member) in kind.places.items()
        if name != "reserved"
    ]
    assert tuple(found) == block.parts
    assert kind.size == block.size


def test_what_is_laid_over_or_copied_bytewise_is_in_memory_without_optimisation(source: Source) -> None:
    assert set(source.attributes) >= {"EdgeInspector", "EdgeInspector_DB", "EI_Crc16", "EI_Clock", "EI_BootId"}
    blocks_and_data = set(source.attributes) - set(source.types)
    assert all(source.attributes[name] == {"S7_Optimized_Access": "FALSE"} for name in blocks_and_data)


def test_the_constants_are_the_codes(source: Source) -> None:
    constants = {name: value for name, (_, value) in source.blocks["EdgeInspector"].constants.items()}
    assert constants.pop("EDGE_DEAD_US") * 1000 == EDGE_DEAD_NS
    tracked = source.blocks["EdgeInspector"].kept.places["tracked"][2]
    assert isinstance(tracked, Array)
    assert constants.pop("TRACKED_PARTS") == tracked.high + 1 == 32
    assert constants.pop("REASON_POSITION_UNKNOWN") == Reason.POSITION_UNKNOWN
    assert constants.pop("REASON_TRIGGER_LOST") == Reason.TRIGGER_LOST
    faults = {name: constants.pop(name) for name in sorted(constants) if name.startswith("FAULT_")}
    assert sorted(faults.values()) == [1, 2, 4, 8]
    assert constants == {name: getattr(blocks, name) for name in constants}
    assert constants.keys() >= {"LAYOUT_VERSION", "TRIGGER_SLOTS", "VERDICT_SLOTS"}
    # An index is a number modulo these, and wraps with it only when they divide 2^32.
    assert 2**32 % TRIGGER_SLOTS == 2**32 % VERDICT_SLOTS == 0


def test_the_readme_names_every_parameter_and_every_fault_bit(source: Source) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    names = [
        name
        for block in ("EdgeInspector", "EI_CameraFire")
        for section in ("VAR_INPUT", "VAR_OUTPUT")
        for name in source.blocks[block].sections[section]
    ]
    assert [name for name in names if f"`{name}`" not in readme] == []
    assert [bit for bit in range(4) if f"bit {bit}" not in readme] == []


# The small blocks, run.


@given(content=st.binary(min_size=64, max_size=64), size=st.sampled_from([14, 30, 62]))
def test_the_crc_is_the_codes(content: bytes, size: int) -> None:
    record = Place(bytearray(content), 0, 0, Array(0, 63, Scalar("BYTE")))
    closed = Record("any", size + 2, *(blocks.Field(f"byte_{at}", "USINT", "") for at in range(size)))
    expected = closed.pack(**{f"byte_{at}": content[at] for at in range(size)})[-2:]
    assert Source(*FILES).call("EI_Crc16", size=size, record=record) == ("WORD", int.from_bytes(expected, "big"))


def clock_of(moment: datetime, nanosecond: int = 0) -> Callable[[Place], tuple[str, int]]:
    def read(now: Place) -> tuple[str, int]:
        for name in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"):
            now.member(name).write((None, getattr(moment, name.lower())))
        now.member("NANOSECOND").write((None, nanosecond))
        return "INT", 0

    return read


def test_boot_ids_differ_from_second_to_second_and_within_one_and_are_never_zero(source: Source) -> None:
    found = set()
    start = datetime(1970, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(seconds=59 * each) for each in range(200)]
    moments += [datetime(2099, 12, 31, 23, 59, second, tzinfo=UTC) for second in range(60)]
    for moment in moments:
        for nanosecond in (0, 999_999_999):
            source.builtins["RD_SYS_T"] = clock_of(moment, nanosecond)
            found.add(source.call("EI_BootId")[1])
    assert 0 not in found
    assert len(found) == 2 * len(moments)


def test_the_clock_counts_microseconds_over_its_wrap_and_loses_no_fraction(source: Source) -> None:
    spans = [123.0] + [0.010_000_3] * 1000  # what RUNTIME says at its first call is meaningless
    source.builtins["RUNTIME"] = lambda _: ("LREAL", spans.pop(0))
    source.cycle("EI_Clock_DB")
    source.data["EI_Clock_DB"].member("time_us").write((None, 2**32 - 5_000_000))
    while spans:
        found = source.cycle("EI_Clock_DB")
    assert found["time_us"] == pytest.approx(10_000_300 - 5_000_000, abs=1)
