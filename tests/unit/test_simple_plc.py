"""A PLC as it is: places in its memory, and part numbers from a counter or a bit."""

import re

import pytest

from edge_inspector.codes import CommandName
from edge_inspector.errors import ConfigError
from edge_inspector.plc.modbus_simple import ModbusSimpleLink, modbus_cell
from edge_inspector.plc.s7_simple import S7SimpleEncoder, S7SimpleLink, s7_cell
from edge_inspector.plc.simple.cells import CellReader, CellWriter, PlcCell
from edge_inspector.plc.simple.encoder import SimpleEncoder
from edge_inspector.plc.simple.numbering import PartNumbers
from edge_inspector.records import Command, CommandResult
from edge_inspector.watches.rolls import RollByBit

MS, S = 1_000_000, 1_000_000_000


def test_parts_that_pass_while_a_bit_is_on_are_known_to_be_so() -> None:
    found = PartNumbers(65536, 5.0, 10 * MS)
    found.read(0, 7, S, S + MS, known="good")
    found.read(1, 900, S + 20 * MS, S + 21 * MS, known="defect")
    found.read(2, 1900, S + 500 * MS, S + 501 * MS)
    assert [trigger.called for trigger in found.triggers] == ["defect", ""]


@pytest.mark.parametrize(
    ("text", "area", "block", "start", "kind", "bit"),
    [
        ("DB10.DBD4 as dint", "DB", 10, 4, "dint", None),
        ("db10.dbw2", "DB", 10, 2, "uint", None),
        ("DB10.DBX7.3", "DB", 10, 7, "bool", 3),
        ("DB1.DBD8 as real", "DB", 1, 8, "real", None),
        ("DB1.DBD8 as lreal", "DB", 1, 8, "lreal", None),
        ("MW20 as int", "M", 0, 20, "int", None),
        ("M10.2", "M", 0, 10, "bool", 2),
        ("ID1000", "I", 0, 1000, "dint", None),
        ("ED1000", "I", 0, 1000, "dint", None),
        ("AB3", "Q", 0, 3, "byte", None),
    ],
)
def test_places_in_an_s7_plc(text: str, area: str, block: int, start: int, kind: str, bit: int | None) -> None:
    assert s7_cell(text) == PlcCell(area, block, start, kind, bit=bit, text=text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DB10",
        "DB10.4",
        "M10",
        "MX10",
        "DB1.DBW2 as dint",
        "DB1.DBX0.8",
        "DB1.DBW0 as bool",
        "T5",
        "DB1.DBD0 as word",
    ],
)
def test_what_is_no_place_in_an_s7_plc_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        s7_cell(text)
    assert "DB10.DBD4 as dint" in str(error.value) or "cannot be" in str(error.value)


@pytest.mark.parametrize(
    ("text", "area", "start", "kind", "bit"),
    [
        ("holding 100 as dint", "holding", 200, "dint", None),
        ("input 5", "input", 10, "uint", None),
        ("coil 12", "coil", 24, "bool", 0),
        ("discrete 4", "discrete", 8, "bool", 0),
        ("holding 7.0", "holding", 15, "bool", 0),
        ("holding 7.15", "holding", 14, "bool", 7),
    ],
)
def test_places_of_a_modbus_server(text: str, area: str, start: int, kind: str, bit: int | None) -> None:
    assert modbus_cell(text) == PlcCell(area, 0, start, kind, bit=bit, text=text)


@pytest.mark.parametrize(
    "text", ["40001", "holding", "holding 70000", "coil 3 as int", "holding 1 as byte", "coil 3.1", "holding 3.16"]
)
def test_what_is_no_place_of_a_modbus_server_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        modbus_cell(text)


class Bytes:
    """PlcMemory of a test. It notes what was asked."""

    address = "test"
    is_open = True
    round_trip_ns = (10, 20)

    def __init__(self, size: int = 256) -> None:
        self.content = bytearray(size)
        self.asked: list[tuple[str, int, int]] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read(self, first: PlcCell, size: int) -> bytes:
        self.asked.append((first.area, first.start, size))
        return bytes(self.content[first.start : first.start + size])

    def write(self, first: PlcCell, content: bytes) -> None:
        self.asked.append((first.area, first.start, len(content)))
        self.content[first.start : first.start + len(content)] = content


def test_neighbours_are_read_in_one_request_and_strangers_in_their_own() -> None:
    memory = Bytes()
    memory.content[0:8] = bytes([0, 7, 0xFF, 0xFF, 0xFF, 0xFE, 0, 1])
    cells = {
        "trigger": s7_cell("DB1.DBW0"),
        "count": s7_cell("DB1.DBD2 as dint"),
        "far": s7_cell("DB1.DBW100"),
        "m": s7_cell("MW0"),
    }
    reading = CellReader(cells, "trigger").read(memory)
    assert memory.asked == [("DB", 0, 6), ("DB", 100, 2), ("M", 0, 2)]
    assert (reading.values["trigger"], reading.values["count"]) == (7, -2)
    assert (reading.asked_ns, reading.answered_ns) == (10, 20)


def test_a_result_is_written_with_the_part_s_number_last_and_nothing_between() -> None:
    memory = Bytes()
    cells = {"part": s7_cell("DB1.DBD0 as udint"), "due": s7_cell("DB1.DBD4 as dint"), "decision": s7_cell("DB1.DBW20")}
    CellWriter(cells, "part").write(memory, {"part": 5, "due": -3, "decision": 2})
    assert memory.asked == [("DB", 20, 2), ("DB", 0, 8)]
    assert memory.content[0:8] == bytes([0, 0, 0, 5, 0xFF, 0xFF, 0xFF, 0xFD])
    assert memory.content[8:20] == bytes(12)


def test_a_number_that_is_too_large_wraps_as_in_the_plc() -> None:
    assert s7_cell("MW0 as int").pack(70_000) == (70_000 - 65_536).to_bytes(2, "big", signed=True)
    assert s7_cell("MD0 as udint").pack(-1) == b"\xff\xff\xff\xff"


class Counting(Bytes):
    """A count at the start of a block, and the bit of a new roll behind it."""

    def roll(self, *, on: bool) -> None:
        self.content[8] = int(on)


ROLLS = S7SimpleEncoder.Settings.model_validate(
    {"host": "127.0.0.1", "count": "DB1.DBD4 as dint", "new_roll": "DB1.DBX8.0"}
)


def test_each_rise_of_the_bit_is_a_new_roll_and_its_first_value_is_none() -> None:
    memory, told = Counting(), list[Command]()
    rolls = RollByBit(SimpleEncoder(memory, ROLLS), told.append)
    rolls.open()
    for on in (True, True, False, True, True, False, False, True):
        memory.roll(on=on)
        assert rolls.read() is not None
    rolls.close()
    assert [(each.source, each.name) for each in told] == [("plc", CommandName.NEW_ROLL)] * 2
    assert re.fullmatch(r"20[0-9-]{8}T[0-9]{2}\.[0-9]{2}\.[0-9]{2}Z", told[0].id)
    assert memory.asked[:2] == [("DB", 4, 4), ("DB", 8, 1)], "the count first: its time is that of the sample"


def test_a_new_roll_that_is_refused_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    memory, told = Counting(), list[Command]()
    rolls = RollByBit(SimpleEncoder(memory, ROLLS), told.append)
    for on in (False, True):
        memory.roll(on=on)
        rolls.read()
    told[0].reply(CommandResult("", 1))
    assert not caplog.text
    told[0].reply(CommandResult("this station inspects parts", 1))
    assert "was refused: this station inspects parts" in caplog.text


def numbers(values: int | None = 65536) -> PartNumbers:
    return PartNumbers(values, 5.0, 10 * MS)


def test_parts_before_the_first_reading_are_nobody_s() -> None:
    found = numbers()
    assert found.read(500, 7, S, S + MS) == ""
    assert (found.newest, found.first, list(found.triggers)) == (500, 500, [])


def test_a_part_has_the_plc_s_own_number_and_the_latched_count() -> None:
    found = numbers()
    found.read(500, 7, S, S + MS)
    found.read(501, 900, S + 20 * MS, S + 21 * MS)
    (trigger,) = found.triggers
    assert (trigger.part_seq, trigger.count, trigger.latched, trigger.lost) == (501, 900, True, False)


def test_the_counter_wraps() -> None:
    found = numbers()
    found.read(65535, None, S, S + MS)
    assert found.read(1, None, S + 20 * MS, S + 21 * MS) == ""
    assert found.newest == 65537


def test_of_two_parts_in_one_reading_the_first_has_lost_its_count() -> None:
    found = numbers()
    found.read(0, 7, S, S + MS)
    found.read(2, 900, S + 20 * MS, S + 21 * MS)
    assert [(each.part_seq, each.lost) for each in found.triggers] == [(1, True), (2, False)]


def test_without_a_latch_the_part_came_between_two_readings_or_a_scan_earlier() -> None:
    found = numbers()
    found.read(0, None, S, S + MS)
    found.read(1, None, S + 20 * MS, S + 22 * MS)
    (trigger,) = found.triggers
    assert trigger.at_ns is not None
    assert (trigger.at_ns - trigger.error_ns, trigger.at_ns + trigger.error_ns) == (S - 10 * MS, S + 22 * MS)


@pytest.mark.parametrize("raw", [400, 60_000, 0])
def test_a_counter_that_jumps_or_begins_anew_is_told(raw: int) -> None:
    found = numbers()
    found.read(500, None, S, S + MS)
    found.read(501, None, S + 20 * MS, S + 21 * MS)
    why = found.read(raw, None, S + 40 * MS, S + 41 * MS)
    assert f"went from 501 to {raw}, while belt speed and pitch allow 16 parts" in why
    assert (found.newest, list(found.triggers)) == (raw, [])


def test_a_bit_counts_its_rising_edges() -> None:
    found = numbers(None)
    for at, raw in enumerate([1, 1, 0, 0, 1, 1, 0, 1]):
        found.read(raw, None, S + at * 20 * MS, S + at * 20 * MS + MS)
    assert [each.part_seq for each in found.triggers] == [1, 2]


S7 = {
    "host": "1.2.3.4",
    "trigger": "DB1.DBW0",
    "heartbeat": "DB2.DBW10",
    "result": {"decision": "DB2.DBW8", "part": "DB2.DBD0 as udint"},
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"heartbeat": "DB2.DBW8"}, "are written to the same place"),
        ({"heartbeat": "M0.1"}, "must be a number"),
        ({"heartbeat": "IW4"}, "inputs belong to the PLC"),
        ({"trigger": "DB1.DBD0 as real"}, "trigger must be a whole number or a bit"),
        ({"trigger_count": "DB1.DBD100 as dint"}, "within 32 bytes of trigger"),
        ({"trigger_count": "DB3.DBD2 as dint"}, "within 32 bytes of trigger"),
        ({"trigger": "nonsense"}, "is no place in an S7 PLC"),
    ],
)
def test_places_that_cannot_work_are_refused(change: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        S7SimpleLink.Settings.model_validate(S7 | change)


def test_settings_say_what_such_a_plc_cannot_show() -> None:
    settings = S7SimpleLink.Settings.model_validate(S7 | {"trigger": "M0.0"})
    assert [caution.partition(":")[0] for caution in settings.cautions] == [
        "nobody notices a PLC in STOP",
        "a part between two readings is missed unnoticed",
    ]


def test_the_low_word_first() -> None:
    settings = ModbusSimpleLink.Settings.model_validate(
        {
            "host": "1.2.3.4",
            "word_order": "low-first",
            "trigger": "holding 0",
            "trigger_count": "holding 1 as dint",
            "heartbeat": "holding 9",
            "result": {"decision": "holding 8"},
        }
    )
    cell = settings.inputs()["trigger_count"]
    assert cell.unpack(bytes([0, 5, 0, 1])) == 65_541
    assert cell.pack(65_541) == bytes([0, 5, 0, 1])
