"""A counter that counts the wrong way, and one that is not the photo-eye's, are told; rocking belts are not."""

import pytest

from edge_inspector.inspection.line_watch import DirectionWatch, RunningWatch, SourceWatch

PITCH = 1200  # counts at 10 per mm
S = 1_000_000_000


def watch(counts_per_mm: float = 10.0) -> DirectionWatch:
    watching = DirectionWatch(counts_per_mm, PITCH)
    assert watching.why == ""
    return watching


def latch(watching: DirectionWatch, *counts: int, first: int = 1, epoch: int = 1) -> list[bool]:
    told = []
    for part_seq, count in enumerate(counts, first):
        watching.trigger(part_seq, count, epoch)
        told.append(bool(watching.why))
    return told


def run(watching: DirectionWatch, *counts: int, epoch: int = 1, running: bool = True) -> str:
    for count in counts:
        watching.belt(count, epoch, running=running)
    return watching.why


def test_parts_latched_lower_and_lower_are_told_with_what_to_type() -> None:
    watching = watch()
    assert latch(watching, 0, -2000, -4000) == [False, False, True]
    assert watching.why == (
        "the counter falls while parts arrive: swap the encoder's A and B, or write line.counts_per_mm = -10.0"
    )


def test_for_a_counter_that_falls_by_design_rising_is_the_wrong_way() -> None:
    watching = watch(-10.0)
    latch(watching, 0, -2000, -4000)
    assert watching.why == (
        "the counter rises while parts arrive: swap the encoder's A and B, or write line.counts_per_mm = 10.0"
    )


def test_a_coarse_counter_says_which_way_it_should_count_too() -> None:
    watching = watch(0.5)
    latch(watching, 0, -2000, -4000)
    assert watching.why.startswith("the counter falls while parts arrive")


@pytest.mark.parametrize(
    "counts",
    [
        (0, 2000, 4000, 6000),
        (0, 2000, 800, 2800),  # the belt went back by a part, once
        (0, -599, -1198, -1797),  # nearly the same place: one part, over and over, on a belt that rocks
        (0, -2000, 0, -2000, 0),
    ],
)
def test_rising_parts_and_single_steps_back_are_nothing(counts: tuple[int, ...]) -> None:
    assert not any(latch(watch(), *counts))


@pytest.mark.parametrize(("step", "told"), [(-599, False), (-600, True)])
def test_half_a_pitch_is_a_step(step: int, told: bool) -> None:  # noqa: FBT001
    assert latch(watch(), 0, step, 2 * step)[-1] is told


def test_a_step_that_is_none_neither_counts_nor_forgives() -> None:
    assert latch(watch(), 0, -2000, -2100, -4000) == [False, False, False, True]


def test_steps_count_between_neighbours_of_one_epoch_only() -> None:
    watching = watch()
    latch(watching, 0, -2000)
    latch(watching, -4000, first=4)
    latch(watching, -6000, first=5, epoch=2)
    assert not watching.why
    latch(watching, -8000, first=6, epoch=2)
    assert watching.why


def test_it_is_over_when_three_parts_in_a_row_rise_again() -> None:
    watching = watch()
    assert latch(watching, 0, -2000, -4000, -2000, 0, 2000, 4000) == [False, False, True, True, True, False, False]
    watching = watch()
    assert latch(watching, 0, -2000, -4000, -2000, 0, -2000, 0, 2000, 4000)[-2:] == [True, False]


@pytest.mark.parametrize("step", [599, 600])
def test_a_step_forward_is_half_a_pitch_too(step: int) -> None:
    watching = watch()
    latch(watching, 0, -2000, -4000)
    latch(watching, -4000 + step, -4000 + 2 * step, -4000 + 3 * step, first=4)
    assert bool(watching.why) is (step == 599)


def test_a_running_belt_that_goes_back_by_more_than_a_pitch_is_told() -> None:
    watching = watch()
    assert not run(watching, 0, 5000, 4000, 3800)
    assert run(watching, 3799) == (
        "the counter fell by 120 mm while the line was running: swap the encoder's A and B, or write "
        "line.counts_per_mm = -10.0. If the belt did run backwards, this ends a few parts later"
    )
    assert "fell by 120 mm" in run(watching, 0), "told once, not with each sample"
    assert run(watch(-10.0), 0, -1201).startswith("the counter rose by 120 mm")


def test_a_belt_that_is_driven_back_while_the_line_does_not_run_is_nothing() -> None:
    watching = watch()
    assert not run(watching, 5000)
    assert not run(watching, 3000, 1000, running=False)
    assert not run(watching, 500, -200)
    assert run(watching, -201)


def test_what_was_reached_in_another_epoch_is_no_measure() -> None:
    watching = watch()
    assert not run(watching, 50_000)
    assert not run(watching, 0, -1200, epoch=2)


def test_after_parts_have_risen_again_the_belt_is_watched_from_where_it_is() -> None:
    watching = watch()
    run(watching, 5000, 3000)
    assert latch(watching, 3100, 5100, 7100, 9100) == [True, True, True, False]
    assert not run(watching, 4000)
    assert run(watching, 2000)


def test_rises_from_before_the_belt_went_back_do_not_count() -> None:
    watching = watch()
    latch(watching, 0, 2000, 4000)
    run(watching, 5000, 3000)
    assert latch(watching, 6000, 8000, 10_000, first=4) == [True, True, False]


def test_two_plcs_are_told_after_a_moment_with_both_ids() -> None:
    source = SourceWatch()
    assert source.why == ""
    source.runs(7, 7, 0)
    source.runs(4711, 7, S)
    source.runs(4711, 7, 2 * S)
    assert source.why == ""
    source.runs(4711, 7, 2 * S + 1)
    assert source.why == (
        "the encoder record has boot_id 4711, the trigger ring 7: two PLCs? encoder.settings and plcs.settings must "
        "name the one that has encoder and photo-eye"
    )
    source.runs(7, 7, 3 * S)
    assert source.why == ""
    source.runs(4711, 7, 4 * S)
    assert source.why == "", "a moment begins anew"


def test_a_part_latched_where_the_belt_was_not_is_told_until_three_are_right() -> None:
    source = SourceWatch()
    source.elsewhere(17, 500, 40_000, 41_000)
    assert source.why == (
        "part 17 was latched at count 500, but the encoder record was between 40000 and 41000 then: do photo-eye and "
        "encoder record use the same counter?"
    )
    source.here()
    source.here()
    source.never(18, 70_000, 0, 9999)
    assert source.why == (
        "part 18 was latched at count 70000, which a counter from 0 to 9999 never shows: do photo-eye and encoder "
        "record use the same counter? If they do, correct encoder.counter_lowest and counter_highest"
    )
    source.here()
    source.here()
    assert source.why
    source.elsewhere(19, 500, 0, 1)
    source.here()
    source.here()
    assert source.why
    source.here()
    assert source.why == ""


def test_two_plcs_are_the_reason_that_comes_first() -> None:
    source = SourceWatch()
    source.elsewhere(17, 500, 40_000, 41_000)
    source.runs(1, 2, 0)
    source.runs(1, 2, 2 * S)
    assert "two PLCs?" in source.why
    source.runs(2, 2, 3 * S)
    assert "part 17" in source.why


# A belt without an encoder.

SECOND = 1_000_000_000


def test_a_belt_that_need_not_be_watched_is_always_steady() -> None:
    assert RunningWatch(None).steady(5)


def test_a_belt_is_steady_only_when_it_has_run_for_long_enough() -> None:
    watch = RunningWatch(2 * SECOND)
    assert not watch.steady(0), "nobody has said anything"
    for tenth in range(21):
        watch.hear(tenth * SECOND // 10, running=True)
        assert watch.steady(tenth * SECOND // 10) is (tenth == 20)
    watch.hear(3 * SECOND, running=False)
    assert not watch.steady(3 * SECOND)
    watch.hear(4 * SECOND, running=True)
    assert not watch.steady(4 * SECOND), "it has just begun again"


def test_after_a_second_without_word_nobody_knows_whether_it_runs() -> None:
    watch = RunningWatch(0)
    watch.hear(SECOND, running=True)
    assert watch.steady(2 * SECOND)
    assert not watch.steady(2 * SECOND + 1)
    watch.hear(3 * SECOND, running=True)
    assert watch.steady(3 * SECOND)
    slow = RunningWatch(SECOND // 2)
    slow.hear(0, running=True)
    slow.hear(SECOND, running=True)
    assert slow.steady(SECOND)
    slow.hear(2 * SECOND + 1, running=True)
    assert not slow.steady(2 * SECOND + 1), "it may have stood meanwhile"
