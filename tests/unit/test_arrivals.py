"""When a stream's pictures come tells which were held back, and how late one may be at most."""

import logging

import pytest

from edge_inspector.cameras.arrivals import Arrivals, Opening

MS = 1_000_000


class Stream:
    """Pictures that come so many milliseconds after each other; each was waited for, or was there already."""

    def __init__(self, told_ms: float = 40, slowest_ms: float = 333) -> None:
        self.now_ns = 0
        self._told_ns, self._slowest_ns = told_ms * MS, slowest_ms * MS
        self.arrivals = Arrivals("cam", self._told_ns, self._slowest_ns, Opening(0, 0))

    def open_again(self, took_ms: float) -> None:
        began_ns, self.now_ns = self.now_ns, self.now_ns + int(took_ms * MS)
        opening = Opening(began_ns, self.now_ns, self.arrivals.pace_ns)
        self.arrivals = Arrivals("cam", self._told_ns, self._slowest_ns, opening)

    def come(self, *apart_ms: float, waited: float = 1.0) -> list[bool]:
        used = []
        for each in apart_ms:
            self.now_ns += int(each * MS)
            used.append(self.arrivals.came(self.now_ns, int(each * waited * MS)))
        return used

    @property
    def late_ms(self) -> float:
        return self.arrivals.late_ns / MS


def even(apart_ms: float = 33, told_ms: float = 40) -> Stream:
    """One that has run for long."""
    stream = Stream(told_ms)
    stream.come(*[apart_ms] * 200)
    assert stream.late_ms == 0
    assert stream.arrivals.usual_ns / MS == pytest.approx(apart_ms, rel=0.01)
    return stream


def test_what_opening_held_back_is_left_out_and_what_comes_singly_is_used() -> None:
    stream = Stream()
    assert stream.come(1, 1, 1, 33, 1, 33, 33) == [False] * 6 + [True]
    assert stream.late_ms == 0
    assert all(stream.come(*[33] * 20))


def test_a_slow_stream_that_comes_back_at_its_pace_is_used_from_the_second_picture() -> None:
    stream = even(500)
    stream.open_again(300)
    assert stream.come(1, 505, 500, 500) == [False, True, True, True]
    assert stream.late_ms == 0


def test_what_the_second_picture_after_an_opening_comes_too_late_is_in_its_error() -> None:
    stream = even(500)
    stream.open_again(300)
    assert stream.come(1, 700) == [False, True]
    assert stream.late_ms == pytest.approx(200, abs=5)
    stream.come(500)
    assert stream.late_ms == 0


@pytest.mark.parametrize(
    ("took_ms", "apart_ms", "waited"),
    [
        pytest.param(600, (1, 500), 1.0, id="the opening can have held back two"),
        pytest.param(300, (1, 300), 1.0, id="too early: a burst with gaps"),
        pytest.param(300, (1, 900), 1.0, id="too late: the start of a burst"),
        pytest.param(300, (1, 500), 0.5, id="this machine was busy, so it may have been there before"),
    ],
)
def test_a_second_picture_that_may_have_been_held_back_is_left_out(
    took_ms: float, apart_ms: tuple[float, ...], waited: float
) -> None:
    stream = even(500)
    stream.open_again(took_ms)
    assert stream.come(*apart_ms, waited=waited) == [False, False]
    assert stream.come(500, 500)[-1]


def test_the_pace_of_a_stream_is_known_after_some_pictures_and_survives_an_opening_without_any() -> None:
    stream = Stream()
    stream.come(1, *[500] * 6)
    assert stream.arrivals.pace_ns is None
    stream.come(*[500] * 30)
    assert stream.arrivals.pace_ns == pytest.approx(500 * MS, rel=0.02)
    stream.open_again(300)
    stream.open_again(300)
    assert stream.arrivals.pace_ns == pytest.approx(500 * MS, rel=0.02)


def test_without_a_known_pace_the_second_picture_is_left_out() -> None:
    stream = Stream()
    stream.open_again(300)
    assert stream.come(1, 500, 500) == [False, False, True]


def test_after_a_pause_that_is_too_short_to_leave_pictures_out_they_may_be_late_by_it() -> None:
    stream = even()
    assert all(stream.come(150, 1, 1, 1))
    assert stream.late_ms == pytest.approx(150 - 33, abs=1)
    stream.come(33)
    assert stream.late_ms, "one alone may come late because the machine was busy"
    stream.come(33)
    assert stream.late_ms == 0


def test_the_longest_of_several_pauses_counts() -> None:
    stream = even()
    stream.come(100, 1, 190, 1)
    assert stream.late_ms == pytest.approx(190 - stream.arrivals.usual_ns / MS, abs=20)


def test_after_a_long_pause_pictures_are_left_out_until_they_come_singly() -> None:
    stream = even()
    assert stream.come(400, 1, 1, 1, 1, 33, 33) == [False] * 6 + [True]
    assert stream.late_ms == 0


def test_a_stream_that_becomes_slower_is_taken_as_it_is_before_long() -> None:
    stream = even()
    stream.come(*[150] * 3)
    assert stream.late_ms == 0
    assert all(stream.come(*[150] * 20))
    assert stream.late_ms == 0


@pytest.mark.parametrize("apart_ms", [16.7, 8, 5])
def test_a_stream_that_is_quicker_than_it_says_is_even_all_the_same(
    apart_ms: float, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(told_ms=40)
    with caplog.at_level(logging.WARNING):
        used = stream.come(*[apart_ms] * 600)
    assert all(used[int(1600 / apart_ms) :])
    assert stream.late_ms == 0
    assert stream.arrivals.usual_ns / MS == pytest.approx(apart_ms, rel=0.1)
    assert not caplog.records


def test_one_that_holds_back_more_than_can_be_unpacked_is_not_taken_for_a_quick_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = Stream(told_ms=40)
    with caplog.at_level(logging.WARNING):
        stream.come(*[8] * 300, waited=0.05)
    assert "comes in bursts" in caplog.text
    assert stream.late_ms == 333


def test_pictures_of_a_stream_in_bursts_may_be_as_late_as_the_bursts_are_apart() -> None:
    stream = even()
    for _ in range(12):
        stream.come(250, *[0.5] * 7)
    assert all(stream.come(250, *[0.5] * 7))
    assert 200 < stream.late_ms <= 250
