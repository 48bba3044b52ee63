"""Numbers that cannot be are not believed at once, and what stays is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.plc.plausibility import Numbers, Plausibility
from edge_inspector.records import PlcInput, Trigger

MS, S = 1_000_000, 1_000_000_000
BOOT, PARTS_PER_S = 7, 5.0


def heard(newest: int, at_ms: float, *, boot: int = BOOT, beat: int | None = None, **changes: object) -> PlcInput:
    """A reading whose ring shows all that it can; part n was at count 1000 n."""
    shown = tuple(
        Trigger(seq, 1000 * seq, answered=False) for seq in range(max(1, newest - TRIGGER_SLOTS + 1), newest + 1)
    )
    plain = PlcInput(
        boot_id=boot,
        heartbeat=int(at_ms) + 1 if beat is None else beat,
        enable=True,
        reset=False,
        line_running=True,
        recipe_id=0,
        ack_session=0,
        ack_seq=0,
        trigger_seq=newest,
        triggers=shown,
        asked_ns=int(at_ms * MS),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def met(newest: int = 40, parts_per_s: float = PARTS_PER_S) -> Numbers:
    """It has been heard until 0 ms."""
    numbers = Numbers(parts_per_s)
    numbers.judge(heard(newest, -20))
    assert numbers.judge(heard(newest, 0)) is Plausibility.NEW_RUN
    return numbers


def findings(numbers: Numbers, *readings: PlcInput) -> list[Plausibility]:
    return [numbers.judge(reading) for reading in readings]


def test_the_first_reading_needs_a_second_that_agrees() -> None:
    numbers = Numbers(PARTS_PER_S)
    assert (numbers.why, numbers.persists, numbers.fresh) == ("", False, False)
    torn, true = heard(5, 0, boot=99), heard(3, 1)
    assert findings(numbers, torn, true, heard(3, 2)) == [
        Plausibility.DOUBTFUL,
        Plausibility.DOUBTFUL,
        Plausibility.NEW_RUN,
    ]
    assert not numbers.fresh, "it may have counted for days"


def test_what_goes_on_is_usual() -> None:
    numbers = met()
    assert findings(numbers, heard(40, 20), heard(41, 40), heard(43, 60)) == [Plausibility.USUAL] * 3
    assert (numbers.why, numbers.persists) == ("", False)


@pytest.mark.parametrize("newest", [0, 39, 41, 46, 57, 4000, 2**32 - 1])
def test_one_header_with_a_wrong_part_number_is_ignored(newest: int) -> None:
    numbers = met()
    poison = heard(newest, 20, triggers=heard(40, 20).triggers)
    assert findings(numbers, poison, heard(40, 40), heard(41, 60)) == [
        Plausibility.DOUBTFUL,
        Plausibility.USUAL,
        Plausibility.USUAL,
    ]


@pytest.mark.parametrize("poison", [{"newest": 2**32 - 1}, {"newest": 3}, {"newest": 40, "boot": 99}])
def test_wrong_headers_now_and_then_never_add_up(poison: dict[str, int]) -> None:
    numbers = met()
    for at in range(20, 20_000, 40):
        assert findings(numbers, heard(at_ms=at, **poison)) == [Plausibility.DOUBTFUL]
        assert findings(numbers, heard(40, at + 20)) == [Plausibility.USUAL]


def test_numbers_that_fell_are_believed_after_a_third_of_a_second_and_named() -> None:
    numbers = met()
    seen = {at: numbers.judge(heard(1 + at // 200, at)) for at in range(20, 341, 20)}
    assert {at for at, finding in seen.items() if finding is Plausibility.DOUBTFUL} == set(range(20, 320, 20))
    assert seen[320] is Plausibility.NEW_NUMBERS
    assert seen[340] is Plausibility.USUAL
    assert not numbers.fresh


def test_what_is_doubted_for_longer_is_told_and_why() -> None:
    numbers = met()
    numbers.judge(heard(1, 20))
    assert (numbers.why, numbers.persists) == ("trigger_seq fell from 40 to 1 without a new boot_id", False)
    numbers.judge(heard(2, 40))
    assert (numbers.why, numbers.persists) == ("trigger_seq fell from 40 to 2 without a new boot_id", True)


def test_three_readings_are_needed_however_slow_they_are() -> None:
    numbers = met()
    assert findings(numbers, heard(1, 1000), heard(1, 2000), heard(1, 3000)) == [
        Plausibility.DOUBTFUL,
        Plausibility.DOUBTFUL,
        Plausibility.NEW_NUMBERS,
    ]


def test_a_number_that_is_given_twice_is_seen_by_its_count_even_if_the_numbers_have_passed_those_of_before() -> None:
    numbers = met(17)
    again = [
        replace(reading, triggers=tuple(replace(each, count=each.count + 7) for each in reading.triggers))
        for reading in (heard(19, at) for at in (3000, 3200, 3400))
    ]
    assert findings(numbers, *again) == [Plausibility.DOUBTFUL, Plausibility.DOUBTFUL, Plausibility.NEW_NUMBERS]
    assert numbers.why == "part number 4 was used twice, at count 4000 and at 4007, without a new boot_id"
    assert findings(numbers, replace(again[0], asked_ns=3600 * MS)) == [Plausibility.USUAL]


def test_a_count_is_compared_as_long_as_its_slot_is_in_the_ring() -> None:
    numbers = met(40)
    numbers.judge(heard(57, 20_000))
    reading = heard(57, 20_020)
    other = (*reading.triggers, Trigger(40, 5, answered=False))
    assert findings(numbers, replace(reading, triggers=other)) == [Plausibility.USUAL]
    other = (Trigger(42, 5, answered=False), *reading.triggers[1:])
    assert findings(numbers, replace(reading, triggers=other)) == [Plausibility.DOUBTFUL]


@pytest.mark.parametrize(
    ("seconds", "most"), [(0.02, 16), (1.0, 26), (10.0, 116), (600.0, 6016)], ids=["usual", "1 s", "10 s", "10 min"]
)
def test_no_more_parts_come_than_belt_and_pitch_allow_twice_over(seconds: float, most: int) -> None:
    at = seconds * 1000
    assert findings(met(), heard(40 + most, at)) == [Plausibility.USUAL]
    numbers = met()
    assert findings(numbers, heard(41 + most, at)) == [Plausibility.DOUBTFUL]
    assert numbers.why == (f"trigger_seq jumped from 40 to {41 + most}, while belt speed and pitch allow {most} parts")


def test_the_time_in_which_parts_may_come_begins_with_the_reading_before_the_last() -> None:
    usual = [Plausibility.USUAL] * 2
    assert findings(met(), heard(40, 9_980), heard(40, 10_000), heard(57, 10_020)) == [*usual, Plausibility.DOUBTFUL]
    # What was read after a long sleep may have been published when the sleep began.
    assert findings(met(), heard(40, 10_000), heard(40 + 116, 10_020)) == usual
    assert findings(met(), heard(40, 10_000), heard(41 + 116, 10_020))[-1] is Plausibility.DOUBTFUL


def test_a_plc_that_published_nothing_for_a_while_shows_all_parts_of_that_time_at_once() -> None:
    numbers = met()
    standing = [heard(40, at, beat=1) for at in range(20, 3000, 20)]
    assert set(findings(numbers, *standing)) == {Plausibility.USUAL}
    assert findings(numbers, heard(40 + 16 + 30, 3000), heard(87, 3020)) == [Plausibility.USUAL] * 2


def test_parts_may_come_until_the_answer_is_there() -> None:
    numbers = met()
    assert numbers.judge(heard(40 + 26, 20), 1000 * MS) is Plausibility.USUAL
    assert met().judge(heard(40 + 27, 20), 1000 * MS) is Plausibility.DOUBTFUL


def test_a_count_that_was_shown_once_is_remembered_while_its_slot_is_torn() -> None:
    numbers = met()
    newest = Trigger(40, 40_000, answered=False)
    torn = replace(heard(40, 20), triggers=(newest,))
    again = replace(heard(40, 40), triggers=(Trigger(39, 5, answered=False), newest))
    assert findings(numbers, torn, again) == [Plausibility.USUAL, Plausibility.DOUBTFUL]
    assert numbers.why == "part number 39 was used twice, at count 39000 and at 5, without a new boot_id"


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (heard(1, 20, boot=8), "boot_id is 00000008, was 00000007"),
        (replace(heard(41, 20), triggers=()), "part 41 is announced, but its slot does not show it"),
        (heard(40, 20, recipe_id=5), "recipe_id is 5, was 0"),
    ],
)
def test_a_doubt_has_its_reason_in_words(reading: PlcInput, why: str) -> None:
    numbers = met()
    assert numbers.judge(reading) is Plausibility.DOUBTFUL
    assert numbers.why == why


def test_a_jump_needs_three_readings_over_a_second() -> None:
    jumps = [heard(90_000, at) for at in (20, 600, 1020)]
    assert findings(met(), *jumps) == [Plausibility.DOUBTFUL, Plausibility.DOUBTFUL, Plausibility.NEW_NUMBERS]


def test_a_jump_that_stays_is_believed_after_a_second() -> None:
    numbers = met()
    seen = [numbers.judge(heard(90_000, at)) for at in range(20, 1021, 20)]
    assert set(seen[:-1]) == {Plausibility.DOUBTFUL}
    assert seen[-1] is Plausibility.NEW_NUMBERS


def test_a_part_that_the_ring_does_not_show_is_believed_at_the_second_reading() -> None:
    numbers = met()
    hidden = replace(heard(41, 20), triggers=heard(40, 20).triggers)
    assert findings(numbers, hidden, replace(hidden, asked_ns=40 * MS)) == [Plausibility.DOUBTFUL, Plausibility.USUAL]


def test_another_recipe_is_believed_at_the_second_reading() -> None:
    numbers = met()
    assert findings(numbers, heard(40, 20, recipe_id=5), heard(40, 40), heard(40, 60, recipe_id=5)) == [
        Plausibility.DOUBTFUL,
        Plausibility.USUAL,
        Plausibility.DOUBTFUL,
    ]
    assert findings(numbers, heard(40, 80, recipe_id=6), heard(41, 100, recipe_id=6), heard(41, 120, recipe_id=6)) == [
        Plausibility.DOUBTFUL,
        Plausibility.USUAL,
        Plausibility.USUAL,
    ]
    assert not numbers.persists


def test_a_new_boot_id_is_believed_when_two_readings_over_30_ms_agree() -> None:
    numbers = met()
    assert findings(numbers, heard(1, 20, boot=8), heard(1, 40, boot=8), heard(1, 50, boot=8)) == [
        Plausibility.DOUBTFUL,
        Plausibility.DOUBTFUL,
        Plausibility.NEW_RUN,
    ]
    assert numbers.fresh
    assert not numbers.persists


def test_boot_ids_that_change_at_each_reading_are_never_believed() -> None:
    numbers = met()
    assert set(findings(numbers, *(heard(1, 20 * at, boot=100 + at) for at in range(1, 100)))) == {
        Plausibility.DOUBTFUL
    }


def test_a_plc_that_keeps_its_numbers_over_a_restart_is_not_taken_for_one_that_began_at_1() -> None:
    numbers = met()
    assert findings(numbers, heard(4000, 1000, boot=8), heard(4000, 1040, boot=8))[-1] is Plausibility.NEW_RUN
    assert not numbers.fresh


def test_a_doubt_begins_anew_when_readings_do_not_agree() -> None:
    numbers = met()
    for at in range(20, 3000, 20):
        assert numbers.judge(heard(30 - at // 20 % 20, at)) in (Plausibility.DOUBTFUL, Plausibility.USUAL)
    numbers = met()
    # A fall and a new boot_id have nothing to say about each other.
    assert findings(numbers, heard(1, 20), heard(1, 400, boot=8), heard(1, 420)) == [Plausibility.DOUBTFUL] * 3


@pytest.mark.parametrize("trigger_seq", [0, 3 << 16])
def test_a_heartbeat_that_counts_in_the_high_word_is_told_and_told_again(trigger_seq: int) -> None:
    numbers = Numbers(PARTS_PER_S)
    readings = [heard(0, at, beat=at << 16, trigger_seq=trigger_seq) for at in (1, 2, 20, 40, 60_000, 60_020, 120_000)]
    first, second, *others = findings(numbers, *readings)
    assert (first, second) == (Plausibility.DOUBTFUL, Plausibility.NEW_RUN)
    assert others[:2] == [Plausibility.DOUBTFUL, Plausibility.SWAPPED]
    assert numbers.judge(heard(0, 41, beat=41 << 16, trigger_seq=trigger_seq)) is Plausibility.DOUBTFUL


def test_swapped_words_are_told_as_long_as_they_last() -> None:
    numbers = Numbers(PARTS_PER_S)
    seen = findings(numbers, *(heard(0, at, beat=at << 16) for at in range(1000, 200_000, 500)))
    assert set(seen[2:]) == {Plausibility.DOUBTFUL, Plausibility.SWAPPED}
    assert numbers.why == "its heartbeat counts in steps of 65536"


def test_a_heartbeat_that_stands_at_half_a_word_says_nothing_of_words() -> None:
    numbers = met()
    assert findings(numbers, *[heard(40, at, beat=32_768) for at in (20, 40, 60)]) == [Plausibility.USUAL] * 3


def test_a_heartbeat_that_stands_or_was_not_heard_for_long_says_nothing_of_words() -> None:
    numbers = met()
    standing = heard(40, 20, beat=1)
    assert findings(numbers, standing, replace(standing, asked_ns=40 * MS)) == [Plausibility.USUAL] * 2
    assert findings(numbers, heard(40, 30_041, beat=1 + (1 << 16))) == [Plausibility.USUAL]


readings = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), max_size=60)


@given(readings)
def test_a_plc_that_counts_as_it_should_is_never_doubted(steps: list[tuple[int, int]]) -> None:
    numbers, newest, at = met(), 40, 0
    for more, pause_ms in steps:
        newest, at = newest + more, at + pause_ms
        assert numbers.judge(heard(newest, at)) is Plausibility.USUAL


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["publish", "read", "read as it is published"]), st.integers(0, 1500), st.integers(0, 1500)
        ),
        max_size=80,
    )
)
def test_no_pause_of_plc_station_or_wire_makes_a_part_doubtful(events: list[tuple[str, int, int]]) -> None:
    numbers, seen, there, beat, now, next_part = met(parts_per_s=100), 40, 40, 1, 0, 0
    for what, pause_ms, way_ms in events:
        now, asked = now + pause_ms, now + pause_ms
        if what.startswith("read"):
            now += way_ms
        while next_part <= now:  # twice the rate that belt and pitch allow
            there, next_part = there + 1, next_part + 5
        if what != "read":
            seen, beat = there, beat + 1
        if what != "publish":
            assert numbers.judge(heard(seen, asked, beat=beat), now * MS) is Plausibility.USUAL
