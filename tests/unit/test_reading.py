"""From DB_Plc's bytes to what the PLC says: what is not as it should be is refused with the likely cause."""

import pytest

from edge_inspector.errors import LayoutError
from edge_inspector.plc.blocks import DB_PLC, PLC_HEADER, TRIGGER, TRIGGER_ANSWERED, TRIGGER_BAD, TRIGGER_GOOD
from edge_inspector.plc.reading import Reader
from edge_inspector.plc.wire import Advice
from edge_inspector.plc.word_order import turned
from edge_inspector.records import PlcInput, Trigger
from edge_inspector.simulation.plc import PlcProgram


def block(parts: int = 0, **changes: int) -> bytes:
    program = PlcProgram(7, 8000)
    for number in range(1, parts + 1):
        program.photo_eye(1000 * number)
    raw = bytearray(DB_PLC.size)
    program.publish(raw)
    header = PLC_HEADER.unpack(raw[:32])
    assert header is not None
    raw[:32] = PLC_HEADER.pack(**header | changes)
    return bytes(raw)


def reader() -> Reader:
    return Reader("plc: DB100", Advice("turn the words", "turn the bytes", "is it DB100?"))


def refusal(raw: bytes) -> str:
    made = reader()
    with pytest.raises(LayoutError) as told:
        assert [made.read(raw, 0) for _ in range(5)] == []
    return str(told.value)


def test_what_the_plc_says_is_read_with_its_triggers_in_order() -> None:
    raw = block(21, heartbeat=33, control=0b101, recipe_id=4, missing_verdicts=3, ack_session=8, ack_seq=9)
    assert reader().read(raw, 99) == PlcInput(
        boot_id=7,
        heartbeat=33,
        enable=True,
        reset=False,
        line_running=True,
        recipe_id=4,
        ack_session=8,
        ack_seq=9,
        trigger_seq=21,
        triggers=tuple(Trigger(number, 1000 * number, answered=False) for number in range(6, 22)),
        missing_verdicts=3,
        asked_ns=99,
    )


def test_the_ring_holds_sixteen_parts_and_an_older_slot_is_nobody_s() -> None:
    heard = reader().read(block(16, trigger_seq=17), 0)
    assert heard is not None
    assert [trigger.part_seq for trigger in heard.triggers] == list(range(2, 17))


@pytest.mark.parametrize("bit", range(4))
def test_each_bit_of_control_means_one_thing(bit: int) -> None:
    heard = reader().read(block(control=1 << bit), 0)
    assert heard is not None
    told = [heard.enable, heard.reset, heard.line_running, heard.challenge]
    assert told == [bit == 0, bit == 1, bit == 2, bit == 3]


def test_a_trigger_says_whether_it_was_answered() -> None:
    raw = bytearray(block(2))
    at = DB_PLC.offset(TRIGGER, 1)
    trigger = TRIGGER.unpack(bytes(raw[at : at + TRIGGER.size]))
    assert trigger is not None
    raw[at : at + TRIGGER.size] = TRIGGER.pack(**trigger | {"flags": TRIGGER_ANSWERED})
    heard = reader().read(bytes(raw), 0)
    assert heard is not None
    assert [each.answered for each in heard.triggers] == [True, False]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (0, ""),
        (TRIGGER_GOOD, "good"),
        (TRIGGER_BAD | TRIGGER_ANSWERED, "defect"),
        (TRIGGER_GOOD | TRIGGER_BAD, ""),
        (0xFFF8, ""),
    ],
)
def test_a_trigger_says_what_the_part_is_known_to_be(flags: int, said: str) -> None:
    raw = bytearray(block(1))
    at = DB_PLC.offset(TRIGGER, 1)
    trigger = TRIGGER.unpack(bytes(raw[at : at + TRIGGER.size]))
    assert trigger is not None
    raw[at : at + TRIGGER.size] = TRIGGER.pack(**trigger | {"flags": flags})
    heard = reader().read(bytes(raw), 0)
    assert heard is not None
    assert [each.called for each in heard.triggers] == [said]


def test_triggers_that_the_header_does_not_speak_of_are_left_out() -> None:
    heard = reader().read(block(21, trigger_seq=18), 0)
    assert heard is not None
    assert [trigger.part_seq for trigger in heard.triggers] == list(range(6, 19))


def test_four_torn_readings_in_a_row_are_no_news_and_a_fifth_is_another_layout() -> None:
    made, whole = reader(), block()
    torn = whole[:9] + b"\xff" + whole[10:]
    for _ in range(3):
        assert [made.read(torn, 0) for _ in range(4)] == [None] * 4
        assert isinstance(made.read(whole, 0), PlcInput)
    assert [made.read(torn, 0) for _ in range(4)] == [None] * 4
    assert refusal(torn) == (
        "plc: DB100 holds no valid header: wrong block, another layout, or PLC program not running: is it DB100?"
    )
    with pytest.raises(LayoutError):
        made.read(torn, 0)


def test_a_blank_block_and_turned_bytes_are_told_as_what_they_are() -> None:
    assert refusal(bytes(DB_PLC.size)) == (
        "plc: DB100 holds no valid header: wrong block, or PLC program not running (all bytes are 0): is it DB100?"
    )
    whole = block()
    bytes_turned = b"".join(whole[at : at + 2][::-1] for at in range(0, len(whole), 2))
    assert refusal(bytes_turned) == (
        "plc: DB100 holds no valid header: the two bytes of each word are swapped: turn the bytes"
    )


def test_another_version_and_a_block_that_nobody_initialised_are_refused() -> None:
    assert refusal(block(layout_version=2)) == "plc: DB100 has layout 2, this daemon needs 1"
    assert refusal(block(boot_id=0)) == "plc: DB100 has boot_id 0: the PLC program has not initialised it"


@pytest.mark.parametrize("parts", [1, 3, 15, 17, 40])
def test_turned_words_are_seen_by_the_slots_of_the_triggers(parts: int) -> None:
    assert refusal(turned(DB_PLC, 0, block(parts))) == (
        "plc: DB100: the words of 32-bit values are swapped (the triggers are in the wrong slots): turn the words"
    )


def test_slots_that_fit_neither_way_are_nobodys_words() -> None:
    raw = bytearray(block(2))
    at = DB_PLC.offset(TRIGGER, 5)
    raw[at : at + 16] = TRIGGER.pack(part_seq=1, count=0, flags=0)
    assert reader().read(bytes(raw), 0) is not None
