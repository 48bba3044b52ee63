"""A counter of another width is recognised by what it loses when it wraps; a reset is none."""

import pytest

from edge_inspector.inspection.counter_watch import CounterWatch

FULL = (-(2**31), 2**31 - 1)
WAY = 9660


def watch(lowest: int = FULL[0], highest: int = FULL[1]) -> CounterWatch:
    watching = CounterWatch(lowest, highest, WAY)
    assert watching.sample(0, 7)
    return watching


@pytest.mark.parametrize(
    ("before", "after", "lost", "wraps_at", "seen"),
    [
        (9990, 5, 10_004.0, "10000", (0, 9999)),
        (65_500, 20, 65_540.0, "65536", (0, 65_535)),
        (32_760, -32_760, 65_530.0, "32768", (-32_768, 32_767)),
        (16_777_210, 3, 16_777_211.0, "16777216", (0, 16_777_215)),
        (3, 65_530, 65_530.0, "65536", (0, 65_535)),  # falling
    ],
)
def test_a_common_width_is_told_at_its_first_wrap(
    before: int, after: int, lost: float, wraps_at: str, seen: tuple[int, int]
) -> None:
    watching = watch()
    watching.jumped(before, after, lost, unsure=12.0)
    assert watching.why == (
        f"the encoder's count jumped from {before} to {after} while the belt ran: it seems to wrap at {wraps_at}. "
        f"Write encoder.counter_lowest = {seen[0]}, counter_highest = {seen[1]}"
    )
    assert watching.seen == seen


@pytest.mark.parametrize(
    ("lost", "unsure"),
    [
        (36_000.0, 12.0),  # the count was reset, somewhere
        (10_013.0, 12.0),
        (-10_000.0, 12.0),  # it jumped ahead
        (0.0, 0.0),  # it is not known which way the belt ran
        (1000.0, 51.0),  # anything
    ],
)
def test_one_jump_of_any_other_size_is_a_reset(lost: float, unsure: float) -> None:
    watching = watch()
    watching.jumped(5000, 7, lost, unsure)
    assert (watching.why, watching.seen) == ("", None)
    watching.jumped(5000, 7, 0.0, 0.0)
    assert not watching.why


def test_a_doubt_of_a_twentieth_is_too_much() -> None:
    watching = watch()
    watching.jumped(9990, 7, 10_000.0, 499.9)
    assert watching.why
    watching = watch()
    watching.jumped(9990, 7, 10_000.0, 500.0)
    assert not watching.why


def test_a_second_equal_loss_is_a_wrap_at_the_round_value_that_it_can_be() -> None:
    watching = watch()
    watching.jumped(35_990, 5, 36_008.0, 10.0)
    watching.jumped(35_970, 5, 35_995.0, 10.0)
    assert "it seems to wrap at 36000. Write encoder.counter_lowest = 0, counter_highest = 35999" in watching.why
    assert watching.seen == (0, 35_999)


def test_without_a_round_value_near_it_is_told_as_about() -> None:
    watching = watch()
    watching.jumped(40_950, 5, 40_956.0, 8.0)
    watching.jumped(40_940, 5, 40_964.0, 8.0)
    assert "it seems to wrap at about 40964. Write the PLC counter's own limits as encoder.counter_low" in watching.why
    assert watching.seen == (0, 40_963)


def test_losses_that_differ_are_resets() -> None:
    watching = watch()
    watching.jumped(36_000, 5, 36_000.0, 10.0)
    watching.jumped(35_990, 5, 36_021.0, 10.0)
    assert not watching.why
    watching.jumped(35_990, 5, 36_001.0, 10.0)
    assert "wrap at 36000" in watching.why


def test_a_counter_that_begins_anywhere_is_told_as_about_and_not_taken_at_its_word() -> None:
    watching = watch()
    watching.jumped(10_480, 520, 10_000.0, 10.0)
    assert "it seems to wrap at about 10520. Write the PLC counter's own limits" in watching.why
    assert watching.seen == (520, 10_519)
    assert watching.sample(500, 7)
    assert watching.why, "the wrap may lie so much lower"
    assert watching.sample(520 - 41, 7)
    assert not watching.why


def test_it_has_at_least_the_values_that_it_has_shown() -> None:
    watching = watch()
    watching.jumped(10_002, 0, 10_006.0, 10.0)
    assert not watching.why
    watching.jumped(10_002, 0, 10_006.0, 10.0)
    assert watching.seen == (0, 10_005)
    watching = watch()
    watching.jumped(40_963, 0, 40_960.0, 10.0)
    watching.jumped(40_963, 0, 40_960.0, 10.0)
    assert watching.seen == (0, 40_963)


def test_a_counter_too_narrow_for_the_way_to_the_gate_must_be_widened() -> None:
    watching = CounterWatch(*FULL, way=10_000)
    watching.jumped(9990, 5, 10_000.0, 10.0)
    assert watching.why.endswith(
        "it seems to wrap at 10000. The way to the gate is 10000 counts. Let the PLC count on in 32 bits"
    )


def test_a_value_beyond_the_supposed_end_disproves_the_wrap() -> None:
    watching = watch()
    watching.jumped(9990, 5, 10_000.0, 10.0)
    assert watching.sample(0, 7)
    assert watching.sample(9999, 7)
    assert watching.why
    assert watching.sample(10_000, 7)
    assert (watching.why, watching.seen) == ("", None)


def test_a_supposed_wrap_with_a_doubt_is_disproved_only_beyond_it() -> None:
    watching = watch()
    watching.jumped(10_480, 520, 10_000.0, 10.0)
    assert watching.seen == (520, 10_519)
    assert watching.sample(10_519 + 40, 7)
    assert watching.why
    assert watching.sample(10_519 + 41, 7)
    assert watching.why == ""


def test_the_limits_of_what_a_width_can_be_are_inclusive() -> None:
    watching = watch()
    watching.jumped(9999, 0, 10_012.0, 12.0)  # just as far off as is unsure, and just as many values as were shown
    assert watching.seen == (0, 9999)
    watching = watch()
    watching.jumped(3599, 0, 3610.0, 10.0)
    watching.jumped(3599, 0, 3610.0, 10.0)
    assert watching.seen == (0, 3599)


def test_nothing_is_said_of_a_counter_that_was_not_looked_at() -> None:
    watching = CounterWatch(*FULL, WAY)
    assert (watching.why, watching.seen) == ("", None)


def test_a_plc_that_starts_anew_is_asked_anew() -> None:
    watching = watch()
    watching.jumped(9990, 5, 10_000.0, 10.0)
    assert watching.sample(0, 8)
    assert (watching.why, watching.seen) == ("", None)
    watching.jumped(36_000, 5, 36_000.0, 10.0)
    assert watching.sample(0, 9)
    watching.jumped(36_000, 5, 36_000.0, 10.0)
    assert not watching.why, "a loss in another run of the PLC is no second one"


@pytest.mark.parametrize("raw", [-1, 10_000])
def test_what_the_described_counter_cannot_show_is_told_for_the_rest_of_this_run(raw: int) -> None:
    watching = watch(0, 9999)
    assert watching.sample(9999, 7)
    assert not watching.sample(raw, 7)
    assert watching.why == (
        f"the encoder shows {raw}, but encoder.counter_lowest and counter_highest are 0 to 9999. Write the "
        "lowest and the highest value of the PLC's counter"
    )
    assert watching.sample(0, 7)
    assert watching.why
    assert watching.sample(0, 8)
    assert not watching.why


def test_a_wrap_that_was_found_before_gives_way_to_what_cannot_be_shown() -> None:
    watching = watch(0, 99_999)
    watching.jumped(9990, 5, 10_000.0, 10.0)
    assert not watching.sample(-1, 7)
    assert watching.seen is None
    assert watching.sample(20_000, 7)
    assert "encoder shows -1" in watching.why
