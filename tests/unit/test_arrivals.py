"""When a stream's pictures come tells which were held back, and how late one may be at most."""

import logging

import pytest

from edge_inspector.cameras.arrivals import Arrivals

MS = 1_000_000


class Stream:
    """Pictures that come so many milliseconds after each other; each was waited for, or was there already."""

    def __init__(self, told_ms: float = 40, slowest_ms: float = 333) -> None:
        self.now_ns = 0
        self.arrivals = Arrivals("cam", told_ms * MS, slowest_ms * MS, 0)

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
