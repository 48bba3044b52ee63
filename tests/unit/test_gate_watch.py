"""What the PLC says of parts at the gate without a verdict: only what this connection should have prevented counts."""

from edge_inspector.inspection.gate_watch import GateWatch
from edge_inspector.records import PlcInput, Trigger


def heard(missing: int, newest: int = 3, *, open_parts: int = 0, boot: int = 1) -> PlcInput:
    triggers = tuple(
        Trigger(seq, 0, answered=seq <= newest - open_parts) for seq in range(max(1, newest - 15), newest + 1)
    )
    return PlcInput(
        boot,
        1,
        enable=True,
        reset=False,
        line_running=True,
        recipe_id=0,
        ack_session=1,
        ack_seq=0,
        trigger_seq=newest,
        triggers=triggers,
        missing_verdicts=missing,
    )


def told(*readings: PlcInput) -> list[int]:
    watch = GateWatch()
    return [watch.hear(each) for each in readings]


def test_what_was_missed_before_is_not_told_again() -> None:
    assert told(heard(500), heard(500), heard(501), heard(501), heard(504)) == [0, 0, 1, 0, 3]


def test_a_plc_that_does_not_count_says_nothing() -> None:
    assert told(*[heard(0, newest) for newest in range(50)]) == [0] * 50


def test_the_number_wraps_at_16_bits() -> None:
    assert told(heard(65_534), heard(65_535), heard(1)) == [0, 1, 2]


def test_a_number_that_was_set_back_is_no_news() -> None:
    assert told(heard(500), heard(0), heard(1)) == [0, 0, 1]
    assert told(heard(0), heard(32_767), heard(65_535)) == [0, 32_767, 0]


def test_another_run_of_the_plc_begins_anew() -> None:
    assert told(heard(5), heard(90, boot=2), heard(91, boot=2)) == [0, 0, 1]


def test_parts_that_were_on_their_way_at_the_connection_are_excused() -> None:
    assert told(heard(5, open_parts=2), heard(6), heard(8), heard(9)) == [0, 0, 1, 1]


def test_nobody_is_excused_any_more_when_as_many_parts_have_come_as_the_ring_holds() -> None:
    assert told(heard(5, 3, open_parts=2), heard(6, 19)) == [0, 0]
    assert told(heard(5, 3, open_parts=2), heard(6, 20)) == [0, 1]
