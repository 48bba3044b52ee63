"""From the PLC's trigger ring to parts: each announced exactly once, come what may."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.codes import Reason
from edge_inspector.inspection.triggers import TriggerIntake
from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.records import PlcInput, Trigger


def heard(newest: int, damaged: set[int] | None = None, *, boot_id: int = 7, answered: int = 0) -> PlcInput:
    """What the link makes of a ring whose newest trigger is `newest`."""
    first = max(1, newest - TRIGGER_SLOTS + 1)
    triggers = [
        Trigger(seq, 1000 * seq, answered=seq <= answered)
        for seq in range(first, newest + 1)
        if seq not in (damaged or set())
    ]
    return PlcInput(
        boot_id,
        heartbeat=newest,
        enable=True,
        reset=False,
        line_running=True,
        recipe_id=0,
        ack_session=1,
        ack_seq=0,
        trigger_seq=newest,
        triggers=tuple(triggers),
    )


def announced(found: list[tuple[Trigger, Reason]]) -> list[tuple[int, Reason]]:
    return [(trigger.part_seq, reason) for trigger, reason in found]


def met(newest: int = 0) -> TriggerIntake:
    intake = TriggerIntake()
    intake.take(heard(newest, answered=newest))
    return intake


def test_at_first_contact_what_nobody_answered_is_announced_as_missed_by_the_daemon() -> None:
    found = TriggerIntake().take(heard(20, answered=17))
    assert announced(found) == [(seq, Reason.DAEMON_RESTARTED) for seq in (18, 19, 20)]
    assert found[0][0].count == 18_000


def test_at_first_contact_with_an_idle_line_there_is_nothing() -> None:
    assert TriggerIntake().take(heard(0)) == []
    assert TriggerIntake().take(heard(20, answered=20)) == []


def test_at_first_contact_a_slot_met_in_the_middle_of_a_write_is_waited_for() -> None:
    intake = TriggerIntake()
    assert intake.take(heard(20, {19}, answered=17)) == []
    assert intake.behind
    assert announced(intake.take(heard(20, answered=17))) == [(seq, Reason.DAEMON_RESTARTED) for seq in (18, 19, 20)]
    assert not intake.behind
    assert announced(intake.take(heard(21, answered=17))) == [(21, Reason.NONE)]


def test_at_first_contact_a_slot_that_stays_damaged_is_a_part_without_a_position() -> None:
    intake = TriggerIntake()
    for _ in range(5):
        assert intake.take(heard(20, {19}, answered=18)) == []
    found = announced(intake.take(heard(20, {19}, answered=18)))
    assert found == [(19, Reason.TRIGGER_LOST), (20, Reason.DAEMON_RESTARTED)]


def test_a_run_that_is_not_fresh_has_answered_what_its_ring_no_longer_shows() -> None:
    assert len(met(5).take(replace(heard(500, boot_id=8), fresh=True))) == 500
    found = announced(met(5).take(replace(heard(500, boot_id=8, answered=498), fresh=False)))
    assert found == [(499, Reason.PLC_RESTARTED), (500, Reason.PLC_RESTARTED)]


def test_numbers_that_begin_anew_under_one_boot_id_are_another_run() -> None:
    intake = met(17)
    anew = replace(heard(2), run=1, fresh=False)
    assert announced(intake.take(anew)) == [(1, Reason.PLC_RESTARTED), (2, Reason.PLC_RESTARTED)]
    assert announced(intake.take(replace(heard(3), run=1, fresh=False))) == [(3, Reason.NONE)]
    assert announced(intake.take(replace(heard(1), run=2, fresh=False))) == [(1, Reason.PLC_RESTARTED)]


def test_new_triggers_come_in_order_and_once() -> None:
    intake = met(5)
    assert announced(intake.take(heard(7))) == [(6, Reason.NONE), (7, Reason.NONE)]
    assert intake.take(heard(7)) == []
    assert announced(intake.take(heard(8))) == [(8, Reason.NONE)]


def test_the_count_latched_with_the_part_comes_along() -> None:
    ((trigger, _),) = met(5).take(heard(6))
    assert trigger.count == 6000


def test_what_the_ring_has_already_lost_is_announced_without_a_position() -> None:
    found = met(5).take(heard(25))
    assert announced(found) == [(seq, Reason.TRIGGER_LOST) for seq in range(6, 10)] + [
        (seq, Reason.NONE) for seq in range(10, 26)
    ]


def test_of_a_gap_that_is_larger_than_any_outage_only_the_newest_4096_parts_are_announced() -> None:
    lost = [(seq, Reason.TRIGGER_LOST) for seq in range(905, 4985)]
    assert announced(met(5).take(heard(5000))) == lost + [(seq, Reason.NONE) for seq in range(4985, 5001)]
    anew = announced(met(5).take(replace(heard(5000, boot_id=8), fresh=True)))
    assert anew == lost + [(seq, Reason.PLC_RESTARTED) for seq in range(4985, 5001)]
    assert len(anew) == 4096


def test_at_first_contact_only_what_the_source_knows_of_is_announced() -> None:
    found = TriggerIntake().take(replace(heard(20), known_from=18))
    assert announced(found) == [(19, Reason.DAEMON_RESTARTED), (20, Reason.DAEMON_RESTARTED)]


def test_a_part_of_which_the_source_knows_nothing_more_has_no_position() -> None:
    lost = replace(heard(6), triggers=(Trigger(6, 0, answered=False, lost=True),))
    assert announced(met(5).take(lost)) == [(6, Reason.TRIGGER_LOST)]


def test_a_new_run_of_the_plc_begins_a_new_count_and_its_parts_may_have_been_missed() -> None:
    intake = met(500)
    assert announced(intake.take(heard(2, boot_id=8))) == [(1, Reason.PLC_RESTARTED), (2, Reason.PLC_RESTARTED)]
    assert announced(intake.take(heard(3, boot_id=8))) == [(3, Reason.NONE)]


def test_a_damaged_slot_holds_up_its_part_and_those_after_it_for_a_few_readings() -> None:
    intake = met(5)
    assert announced(intake.take(heard(8, {7}))) == [(6, Reason.NONE)]
    assert intake.behind
    assert intake.take(heard(8, {7})) == []
    assert announced(intake.take(heard(8))) == [(7, Reason.NONE), (8, Reason.NONE)]


def test_the_very_first_part_is_given_that_patience_too() -> None:
    intake = met(0)
    assert intake.take(heard(1, {1})) == []
    assert announced(intake.take(heard(1))) == [(1, Reason.NONE)]


def test_the_oldest_slot_of_the_ring_is_given_that_patience_too() -> None:
    intake = met(4)
    assert intake.take(heard(20, {5, 6})) == []
    assert announced(intake.take(heard(20)))[0] == (5, Reason.NONE)


def test_a_slot_that_stays_damaged_is_announced_without_a_position_in_the_end() -> None:
    intake, found, readings = met(5), [], 0
    while not found:
        readings += 1
        assert readings < 50
        found = intake.take(heard(7, {6}))
    assert 3 <= readings <= 10
    assert announced(found) == [(6, Reason.TRIGGER_LOST), (7, Reason.NONE)]


def test_patience_is_for_each_damaged_slot_anew() -> None:
    intake, found = met(5), []
    readings = 0
    while len(found) < 2:
        readings += 1
        assert readings < 50
        found += intake.take(heard(7, {6, 7}))
    assert announced(found) == [(6, Reason.TRIGGER_LOST), (7, Reason.TRIGGER_LOST)]
    assert readings >= 9


readings = st.lists(st.tuples(st.integers(0, 20), st.sets(st.integers(0, 15)), st.booleans()), max_size=30)


@given(readings)
def test_whatever_is_read_every_part_of_every_run_is_announced_exactly_once_and_in_order(
    looks: list[tuple[int, set[int], bool]],
) -> None:
    intake, boot_id, newest = TriggerIntake(), 7, 0
    intake.take(heard(0))
    found: dict[int, list[int]] = {7: []}
    for more, damaged, restarts in looks:
        if restarts:
            found[boot_id] += [seq for seq, _ in announced(intake.take(heard(newest, boot_id=boot_id)))]
            assert found[boot_id] == list(range(1, newest + 1))
            boot_id, newest = boot_id + 1, 0
            found[boot_id] = []
            assert intake.take(heard(0, boot_id=boot_id)) == []
        newest += more
        reading = heard(newest, {newest - back for back in damaged}, boot_id=boot_id)
        taken = intake.take(reading)
        assert all(reason is Reason.TRIGGER_LOST or trigger in reading.triggers for trigger, reason in taken)
        found[boot_id] += [seq for seq, _ in announced(taken)]
    found[boot_id] += [seq for seq, _ in announced(intake.take(heard(newest, boot_id=boot_id)))]
    assert found[boot_id] == list(range(1, newest + 1))


def test_a_ring_that_stands_still_announces_nothing_however_often_it_is_read() -> None:
    intake = met(5)
    assert [found for _ in range(20) for found in intake.take(heard(5))] == []


def test_a_damaged_slot_holds_the_parts_back_for_exactly_five_readings_each_time() -> None:
    intake = met(5)
    for seq in (6, 7):
        for _ in range(5):
            assert intake.take(heard(seq, damaged={seq})) == []
        (found,) = intake.take(heard(seq, damaged={seq}))
        assert found == (Trigger(seq, 0, answered=False), Reason.TRIGGER_LOST)


def test_a_new_run_of_the_plc_has_its_own_patience() -> None:
    intake = met(5)
    for _ in range(4):
        intake.take(heard(6, damaged={6}))
    intake.take(heard(0, boot_id=8))
    for _ in range(5):
        assert intake.take(heard(1, damaged={1}, boot_id=8)) == []
    assert announced(intake.take(heard(1, damaged={1}, boot_id=8))) == [(1, Reason.TRIGGER_LOST)]


def test_what_was_waited_for_in_the_run_before_takes_no_patience_from_the_first_reading_of_the_next() -> None:
    intake = met(5)
    for _ in range(4):
        intake.take(heard(6, damaged={6}))
    for _ in range(5):
        assert intake.take(heard(1, damaged={1}, boot_id=8)) == []
    assert announced(intake.take(heard(1, damaged={1}, boot_id=8))) == [(1, Reason.TRIGGER_LOST)]
