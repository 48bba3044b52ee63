"""When too few parts are inspected or too many rejected: told soon, not for one part, and not longer than it is so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.codes import Decision, ErrorCode, Reason
from edge_inspector.inspection.alarms import Alarms
from edge_inspector.inspection.recipe import AlarmLimits

ACCEPT, REJECT, NOT_INSPECTED = Decision
FEW, BLIND, MANY = ErrorCode.PARTS_NOT_INSPECTED, ErrorCode.LINE_BLIND, ErrorCode.MANY_REJECTS
LIMITS = AlarmLimits()
NO_ROWS = AlarmLimits(rejects_in_a_row=0)


def inspected(alarms: Alarms, count: int = 1, limits: AlarmLimits = LIMITS) -> None:
    for _ in range(count):
        alarms.take(ACCEPT, Reason.NONE, limits)


def missed(alarms: Alarms, count: int = 1, reason: Reason = Reason.LATE, limits: AlarmLimits = LIMITS) -> None:
    for _ in range(count):
        alarms.take(NOT_INSPECTED, reason, limits)


def rejected(alarms: Alarms, count: int = 1, limits: AlarmLimits = LIMITS) -> None:
    for _ in range(count):
        alarms.take(REJECT, Reason.DEFECT, limits)


def told(alarms: Alarms) -> set[ErrorCode]:
    return set(alarms.held)


# Parts that were not inspected.


def test_nothing_is_told_of_a_line_that_inspects_everything() -> None:
    alarms = Alarms()
    inspected(alarms, 300)
    assert told(alarms) == set()


@pytest.mark.parametrize("before", [0, 1, 2, 90, 500])
def test_the_third_part_of_a_hundred_is_told_and_two_are_not(before: int) -> None:
    alarms = Alarms()
    inspected(alarms, before)
    missed(alarms, 2)
    assert told(alarms) == set()
    inspected(alarms)
    missed(alarms)
    assert told(alarms) == {FEW}


def test_a_trickle_stays_told_until_it_is_half_of_what_is_too_much() -> None:
    alarms = Alarms()
    for _ in range(3):
        missed(alarms)
        inspected(alarms, 29)
    assert told(alarms) == {FEW}, "20 inspected in a row prove nothing against one in thirty"
    inspected(alarms, 11)
    assert told(alarms) == {FEW}, "two of the last hundred"
    inspected(alarms, 29)
    assert told(alarms) == {FEW}
    inspected(alarms)
    assert told(alarms) == set(), "one of the last hundred"


def test_a_line_that_inspects_nothing_from_its_first_part_on_is_blind_after_five() -> None:
    alarms = Alarms()
    missed(alarms, 4)
    assert told(alarms) == {FEW}
    missed(alarms)
    assert told(alarms) == {BLIND}, "the graver of the two alone"


def test_more_than_a_fifth_is_blind_without_five_of_ten() -> None:
    alarms = Alarms()
    for _ in range(20):
        inspected(alarms, 2)
        missed(alarms)
    assert told(alarms) == {FEW}
    inspected(alarms, 2)
    missed(alarms)
    assert told(alarms) == {BLIND}


def test_a_blind_line_sees_again_after_twenty_inspected_parts_in_a_row_and_what_was_is_forgotten() -> None:
    alarms = Alarms()
    missed(alarms, 80)
    inspected(alarms, 19)
    missed(alarms)
    inspected(alarms, 19)
    assert told(alarms) == {BLIND}
    inspected(alarms)
    assert told(alarms) == set()
    missed(alarms, 2)
    assert told(alarms) == set(), "the eighty are not counted again"
    missed(alarms)
    assert told(alarms) == {FEW}


def test_half_of_the_last_ten_is_blind_and_what_is_longer_ago_is_none_of_them() -> None:
    alarms = Alarms()
    for _ in range(4):
        inspected(alarms)
        missed(alarms)
    inspected(alarms)
    assert told(alarms) == {FEW}
    missed(alarms)
    assert told(alarms) == {BLIND}
    alarms = Alarms()
    missed(alarms, 4)
    inspected(alarms, 7)
    missed(alarms)
    inspected(alarms)
    assert told(alarms) == {FEW}
    missed(alarms)
    assert told(alarms) == {FEW}
    alarms = Alarms()
    missed(alarms)
    inspected(alarms, 6)
    missed(alarms, 4)
    assert told(alarms) == {FEW}, "the first is not among the last ten"


@pytest.mark.parametrize("reason", [Reason.DAEMON_RESTARTED, Reason.PLC_RESTARTED, Reason.STOPPING])
def test_a_restart_is_told_but_is_no_fault_and_soon_over(reason: Reason) -> None:
    alarms = Alarms()
    missed(alarms, 16, reason)  # as many as a trigger ring holds
    assert told(alarms) == {FEW}
    inspected(alarms, 19)
    assert told(alarms) == {FEW}
    inspected(alarms)
    assert told(alarms) == set()


def test_restarts_without_an_end_leave_the_line_blind_all_the_same() -> None:
    alarms = Alarms()
    for _ in range(3):
        missed(alarms, 7, Reason.PLC_RESTARTED)
        inspected(alarms, 5)
    assert told(alarms) == {BLIND}


def test_what_fails_after_a_restart_is_blind_after_five_more() -> None:
    alarms = Alarms()
    missed(alarms, 3, Reason.DAEMON_RESTARTED)
    missed(alarms, 4, Reason.FRAME_MISSING)
    assert told(alarms) == {FEW}
    missed(alarms, 1, Reason.FRAME_MISSING)
    assert told(alarms) == {BLIND}


def test_a_rejected_part_was_inspected() -> None:
    alarms = Alarms()
    missed(alarms, 5)
    rejected(alarms, 20, NO_ROWS)
    assert told(alarms) == set()


def test_parts_of_a_station_that_is_switched_off_do_not_count() -> None:
    alarms = Alarms()
    missed(alarms, 50, Reason.DISABLED)
    assert told(alarms) == set()
    missed(alarms, 4)
    missed(alarms, 50, Reason.DISABLED)
    missed(alarms, 50, Reason.CHANGING)
    assert told(alarms) == {FEW}


def test_limits_of_one_switch_off_and_a_limit_of_zero_tells_of_the_first_part() -> None:
    never = AlarmLimits(not_inspected_share=1, blind_share=1)
    alarms = Alarms()
    missed(alarms, 200, limits=never)
    assert told(alarms) == set()
    alarms = Alarms()
    missed(alarms, limits=AlarmLimits(not_inspected_share=0))
    assert told(alarms) == {FEW}


def test_the_window_may_be_another_for_another_product() -> None:
    alarms = Alarms()
    missed(alarms, 3)
    inspected(alarms, 57)
    assert told(alarms) == {FEW}
    inspected(alarms, limits=AlarmLimits(window_parts=40))
    assert told(alarms) == set(), "the three are not among the last forty"


def test_the_message_has_the_leading_reason_and_what_to_do() -> None:
    alarms = Alarms()
    inspected(alarms, 10)
    missed(alarms, 1, Reason.CAMERA_LOST)
    missed(alarms, 3)
    assert alarms.held == {
        FEW: "4 of the last 14 parts were not inspected, 3 of them late: the model had no time for it. "
        "Lower the belt speed or call the engineer."
    }
    missed(alarms)
    assert alarms.held[BLIND].startswith("5 of the last 15 parts were not inspected, 4 of them late: ")


def test_another_reason_leads_when_it_is_more_than_twice_as_frequent() -> None:
    alarms = Alarms()
    missed(alarms, 4, Reason.CAMERA_LOST)
    missed(alarms, 8)
    assert "12 parts were not inspected, 4 of them camera_lost: " in alarms.held[BLIND]
    missed(alarms)
    assert "13 parts were not inspected, 9 of them late: " in alarms.held[BLIND]


def test_a_blind_line_does_not_blame_the_restart_that_is_over() -> None:
    alarms = Alarms()
    missed(alarms, 16, Reason.DAEMON_RESTARTED)
    missed(alarms, 4, Reason.POSITION_UNKNOWN)
    assert "16 of them daemon_restarted" in alarms.held[FEW]
    missed(alarms, 1, Reason.POSITION_UNKNOWN)
    assert "5 of them position_unknown" in alarms.held[BLIND]
    alarms = Alarms()
    missed(alarms, 21, Reason.PLC_RESTARTED)
    assert "21 of them plc_restarted" in alarms.held[BLIND], "there is nothing else"


def test_a_reason_that_is_over_leads_no_more() -> None:
    alarms = Alarms()
    missed(alarms, 90, Reason.CAMERA_LOST)
    missed(alarms, 100)
    assert alarms.held[BLIND].startswith("100 of the last 100 parts were not inspected, 100 of them late: ")


def test_every_reason_not_to_inspect_says_what_to_do() -> None:
    assert [reason for reason in Reason if not reason.remedy] == [Reason.NONE, Reason.DEFECT]


# Rejected parts.


def test_the_fifth_reject_in_a_row_raises_the_alarm_and_the_next_accepted_part_ends_it() -> None:
    alarms = Alarms()
    rejected(alarms, 4)
    assert told(alarms) == set()
    rejected(alarms)
    assert alarms.held == {MANY: "5 parts in a row were rejected: look at these parts, then at tool and material"}
    rejected(alarms)
    assert alarms.held[MANY].startswith("6 parts in a row were rejected: ")
    inspected(alarms)
    assert told(alarms) == set()
    rejected(alarms, 4)
    assert told(alarms) == set()


def test_parts_that_were_not_inspected_neither_lengthen_nor_break_a_row() -> None:
    alarms = Alarms()
    for _ in range(4):
        rejected(alarms)
    missed(alarms, 2)
    assert told(alarms) == set()
    rejected(alarms)
    assert told(alarms) == {MANY}
    missed(alarms, 2)
    assert told(alarms) == {MANY, FEW}


def test_a_row_is_as_long_as_the_recipe_says_and_0_is_never() -> None:
    alarms = Alarms()
    rejected(alarms, 2, AlarmLimits(rejects_in_a_row=3))
    assert told(alarms) == set()
    rejected(alarms, 1, AlarmLimits(rejects_in_a_row=3))
    assert told(alarms) == {MANY}
    alarms = Alarms()
    rejected(alarms, 30, NO_ROWS)
    assert told(alarms) == set()
    alarms = Alarms()
    rejected(alarms, 1, AlarmLimits(rejects_in_a_row=1))
    assert told(alarms) == {MANY}


def test_a_share_of_rejects_raises_the_alarm_until_it_has_halved() -> None:
    alarms = Alarms()
    for _ in range(30):
        inspected(alarms)
        rejected(alarms)
    assert told(alarms) == set()
    rejected(alarms)
    assert alarms.held[MANY].startswith("31 of the last 61 inspected parts were rejected: ")
    inspected(alarms, 69)
    assert alarms.held[MANY].startswith("16 of the last 100 inspected parts were rejected: ")
    inspected(alarms, 2)
    assert told(alarms) == set()
    rejected(alarms, 4)
    assert told(alarms) == set()


def test_the_share_is_of_inspected_parts() -> None:
    alarms = Alarms()
    rejected(alarms, 31, AlarmLimits(rejects_in_a_row=0, blind_share=1, not_inspected_share=1))
    missed(alarms, 100, limits=AlarmLimits(rejects_in_a_row=0, blind_share=1, not_inspected_share=1))
    assert alarms.held[MANY].startswith("31 of the last 31 inspected parts")


def test_a_share_is_of_the_window() -> None:
    alarms, limits = Alarms(), AlarmLimits(window_parts=20, not_inspected_share=0.0495, reject_share=0.0495)
    missed(alarms, limits=limits)
    rejected(alarms, limits=limits)
    assert told(alarms) == {FEW, MANY}, "one of twenty is 5 %"


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_zero_or_one_is_never_too_large(share: float) -> None:
    alarms = Alarms()
    rejected(alarms, 150, AlarmLimits(rejects_in_a_row=0, reject_share=share))
    assert told(alarms) == set()


def test_everything_is_forgotten_when_somebody_has_seen_to_it() -> None:
    alarms = Alarms()
    rejected(alarms, 40)
    missed(alarms, 30)
    assert told(alarms) == {BLIND, MANY}
    alarms.forget()
    assert told(alarms) == set()
    missed(alarms, 2)
    rejected(alarms, 4)
    assert told(alarms) == set()
    inspected(alarms)
    rejected(alarms, 4)
    assert told(alarms) == set(), "the forty are not counted again"


LIMITS_OF_ANY_KIND = st.builds(
    AlarmLimits,
    window_parts=st.integers(20, 60),
    not_inspected_share=st.floats(0, 0.2),
    blind_share=st.floats(0.2, 1),
    rejects_in_a_row=st.integers(0, 6),
    reject_share=st.floats(0, 1),
)
VERDICTS = st.one_of(
    st.tuples(st.sampled_from([ACCEPT, REJECT]), st.just(Reason.NONE)),
    st.tuples(st.just(NOT_INSPECTED), st.sampled_from([each for each in Reason if each.remedy])),
)


@given(st.lists(st.tuples(VERDICTS, st.integers(1, 25), LIMITS_OF_ANY_KIND), max_size=20))
def test_whatever_comes_it_is_over_when_a_window_full_of_parts_was_accepted(
    runs: list[tuple[tuple[Decision, Reason], int, AlarmLimits]],
) -> None:
    alarms = Alarms()
    for (decision, reason), count, limits in runs:
        for _ in range(count):
            alarms.take(decision, reason, limits)
            assert told(alarms) in (set(), {FEW}, {BLIND}, {MANY}, {FEW, MANY}, {BLIND, MANY})
            assert all(why and why[0] in "123456789" for why in alarms.held.values()), "never none of the last"
    inspected(alarms, 60, AlarmLimits(window_parts=60))
    assert told(alarms) == set()
