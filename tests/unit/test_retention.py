from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_inspector.runtime.clock import Moment
from edge_inspector.store.retention import SETTLED, Retention, Stamps

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NEVER_SET = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
S = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEARS = 3650 * DAY
KEEP = 30 * DAY


class Box:
    """A box with a wall clock that can be set, and a history that is asked as it grows."""

    def __init__(self, keep: timedelta = KEEP, utc: datetime = NOON, stamps: Stamps | None = None) -> None:
        self.utc = utc
        self.monotonic_ns = 77_000_000_000
        self.stamps = stamps or Stamps(oldest=utc - keep, settled=utc - SETTLED - HOUR)
        self.retention = Retention(keep)

    def after(self, passed: timedelta = timedelta(0), step: timedelta = timedelta(0)) -> datetime | None:
        """The horizon after some time, and after the wall clock was set."""
        self.utc += passed + step
        self.monotonic_ns += passed // timedelta(microseconds=1) * 1000
        return self.retention.horizon(Moment(self.utc, self.monotonic_ns), self.stamps)

    @property
    def doubt(self) -> str:
        return self.retention.doubt


def test_a_station_that_runs_forgets_what_is_older_than_keep_days() -> None:
    box = Box()
    assert box.after() == NOON - KEEP
    for hour in range(1, 100):
        assert box.after(HOUR) == NOON - KEEP + hour * HOUR
    assert box.doubt == ""


@pytest.mark.parametrize("step", [YEARS, 366 * DAY, 5 * DAY, -5 * DAY, -YEARS / 20, -2 * DAY])
def test_a_clock_that_is_set_far_forgets_nothing_until_it_is_set_back(step: timedelta) -> None:
    box = Box()
    box.after()
    assert box.after(S, step) is None
    assert "the clock was set" in box.doubt
    assert ("ahead" if step > timedelta(0) else "back") in box.doubt
    assert box.after(SETTLED - HOUR) is None
    assert box.after(S, -step) is not None
    assert box.doubt == ""


@pytest.mark.parametrize("step", [2 * S, HOUR, -HOUR, 14 * HOUR, -14 * HOUR, 3 * DAY])
def test_a_correction_is_no_reason_for_doubt(step: timedelta) -> None:
    box = Box()
    box.after()
    assert box.after(S, step) is not None
    assert box.doubt == ""


def test_a_box_without_a_battery_learns_soon_after_the_start_that_it_was_off_for_weeks() -> None:
    box = Box(keep=365 * DAY)
    box.after()
    assert box.after(59 * 60 * S, 30 * DAY) is not None
    for _ in range(5):
        assert box.after(HOUR) is not None, "believed for good"
    assert box.after(S, 30 * DAY) is None, "later it is no longer believed"
    assert box.after(S, -30 * DAY) is not None


def test_small_steps_do_not_add_up_to_a_large_one_unseen() -> None:
    box = Box()
    box.after()
    doubted = [box.after(S, DAY) is None for _ in range(10)]
    assert doubted == [False] * 4 + [True] * 6


def test_a_date_that_goes_on_is_taken_for_true_in_the_end_and_history_goes_slowly() -> None:
    box = Box()
    begun = box.after()
    assert begun is not None
    assert box.after(S, YEARS) is None
    assert box.after(SETTLED - S) is None
    first = box.after(S)
    assert first is not None
    assert box.doubt == ""
    assert first <= begun + DAY, "the time of doubt does not count"
    later = box.after(HOUR)
    assert later is not None
    assert later - first == 24 * HOUR
    for _ in range(200):
        box.after(timedelta(days=20))
    assert box.after(S) == box.utc - KEEP


def test_a_clock_that_is_set_again_and_again_is_never_taken_for_true() -> None:
    box = Box()
    box.after()
    for _ in range(10):
        assert box.after(SETTLED / 2, 10 * DAY) is None


def test_a_box_that_boots_in_1970_waits_for_its_date_however_long() -> None:
    box = Box(utc=NEVER_SET, stamps=Stamps(oldest=NOON - KEEP, ahead=NOON - KEEP))
    assert box.after() is None
    assert "never set: it shows 1970-01-01" in box.doubt
    assert box.after(10 * SETTLED) is None
    box.stamps = Stamps(oldest=NOON - KEEP, settled=NOON - SETTLED - HOUR)
    box.utc = NOON
    assert box.after(S) is not None
    assert box.doubt == ""


def test_a_start_with_a_date_far_ahead_is_not_believed() -> None:
    history = Stamps(oldest=NOON - KEEP, settled=NOON - HOUR)
    box = Box(utc=NOON + YEARS, stamps=history)
    assert box.after() is None
    assert box.doubt == "by the clock no part was stored for 3647 days"
    assert box.after(S, -YEARS) is not None, "set right"
    assert box.doubt == ""


def test_a_box_that_was_off_for_three_months_forgets_in_the_end_a_day_an_hour() -> None:
    off = 92 * DAY
    box = Box(utc=NOON + off, stamps=Stamps(oldest=NOON - KEEP, settled=NOON))
    assert box.after() is None
    assert box.after(SETTLED - HOUR) is None
    first = box.after(HOUR)
    assert first == NOON - KEEP + DAY
    for hour in range(1, 40):
        assert box.after(HOUR) == first + hour * 24 * HOUR


def test_a_restart_does_not_make_a_wrong_date_a_right_one_but_days_of_parts_do() -> None:
    box = Box(utc=NOON + YEARS, stamps=Stamps(oldest=NOON - KEEP, settled=NOON))
    assert box.after() is None, "a part of a minute ago has the wrong date too, and says nothing"
    box.stamps = replace(box.stamps, settled=NOON + YEARS + S)
    assert box.after(SETTLED - HOUR) is not None, "parts with this date are old enough to stand for it"


@pytest.mark.parametrize("behind", [3 * DAY, 200 * DAY])
def test_a_start_behind_what_is_stored_is_told_and_forgets_nothing(behind: timedelta) -> None:
    """Parts of every day until noon, of none before KEEP."""
    utc = NOON - behind
    settled = utc - SETTLED if behind < KEEP else None
    box = Box(utc=utc, stamps=Stamps(oldest=NOON - KEEP, settled=settled, ahead=max(utc + DAY, NOON - KEEP)))
    assert box.after() is None
    assert box.doubt == f"the clock shows {utc:%Y-%m-%d}, and parts with later dates are stored"
    box.stamps = Stamps(oldest=NOON - KEEP, settled=NOON - SETTLED)
    assert box.after(S, behind) is not None


def test_a_start_after_a_run_with_a_wrong_date_goes_by_the_parts_before_it() -> None:
    box = Box(stamps=Stamps(oldest=NOON - KEEP, settled=NOON - SETTLED, ahead=NOON + YEARS))
    assert box.after() is not None
    assert box.doubt == ""


def test_a_new_station_has_nothing_to_lose_and_no_doubt() -> None:
    box = Box(stamps=Stamps())
    assert box.after() == NOON - KEEP
    young = Box(stamps=Stamps(oldest=NOON - HOUR))
    assert young.after() == NOON - KEEP
    assert (box.doubt, young.doubt) == ("", "")


def test_a_long_weekend_is_no_doubt_and_a_year_of_history_stands_a_long_holiday() -> None:
    monday = Stamps(oldest=NOON - KEEP, settled=NOON)
    assert Box(utc=NOON + SETTLED + 4 * DAY, stamps=monday).after() is not None
    assert Box(utc=NOON + SETTLED + 5 * DAY, stamps=monday).after() is None
    assert Box(keep=365 * DAY, utc=NOON + SETTLED + 36 * DAY, stamps=monday).after() is not None


def test_a_start_forgets_a_day_at_once_and_a_short_history_less() -> None:
    old = Stamps(oldest=NOON - 100 * DAY, settled=NOON - SETTLED)
    assert Box(stamps=old).after() == NOON - 99 * DAY
    assert Box(keep=DAY, stamps=old).after() == NOON - 100 * DAY + DAY / 10
    brief = Box(keep=DAY, stamps=old)
    first = brief.after()
    assert first is not None
    assert brief.after(HOUR) == first + 2 * HOUR, "a pace at which it would take half a day to forget all"


def test_what_is_said_does_not_change_from_second_to_second() -> None:
    box = Box()
    box.after()
    said = set()
    for _ in range(100):
        box.after(S, YEARS if not said else timedelta(0))
        said.add(box.doubt)
    assert len(said) == 1
