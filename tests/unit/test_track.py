"""The encoder's thread: what it makes of samples that no belt can have made, and how often it speaks of them."""

import logging
from collections.abc import Iterator

import pytest

from edge_inspector.codes import ErrorCode
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.counter_watch import CounterWatch
from edge_inspector.inspection.scale_watch import SpeedWatch
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.records import EncoderSample
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.stages.track import Track

MS, S = 1_000_000, 1_000_000_000


class Scripted:
    """An encoder that shows one count every 10 ms of a time of its own."""

    def __init__(self) -> None:
        self.counts: Iterator[int] = iter(())
        self.now = S
        self.boot_id = 7

    def open(self) -> None:
        """Always there."""

    def read(self) -> EncoderSample:
        """The next count."""
        self.now += 10 * MS
        return EncoderSample(next(self.counts), None, self.now, self.now, boot_id=self.boot_id)

    def close(self) -> None:
        """Nothing to let go."""


class Rig:
    def __init__(self, counter: Counter = Counter()) -> None:  # noqa: B008 -- frozen
        self.encoder = Scripted()
        self.timeline = Timeline(Motion(6600, 50_000), counter=counter)
        self.conditions = Conditions()
        watch = CounterWatch(counter.lowest, counter.highest, way=9660)
        self.track = Track(
            self.encoder,
            self.timeline,
            conditions=self.conditions,
            interval_s=0.0,
            speed=SpeedWatch(10.0, 100_000.0),
            counter=watch,
        )
        self.track.start()

    def show(self, *counts: int) -> None:
        self.encoder.counts = iter(counts)
        for _ in counts:
            self.track.step()

    @property
    def told(self) -> list[str]:
        return [held.why for held in self.conditions.reasons() if held.code is ErrorCode.LINE_MISMATCH]


def modulo(at: int) -> list[int]:
    return [count % at for count in range(at - 600, at + 600, 60)]


def test_a_counter_that_wraps_where_the_station_file_does_not_say_so_is_told_with_its_width() -> None:
    rig = Rig()
    rig.show(*modulo(10_000))
    assert rig.told == [
        (
            "the encoder's count jumped from 9940 to 0 while the belt ran: it seems to wrap at 10000. Write "
            "encoder.counter_lowest = 0, counter_highest = 9999"
        )
    ]
    assert rig.timeline.epoch == 2
    rig.show(9990, 10_050)
    assert rig.told == []


def test_a_counter_that_wraps_where_the_station_file_says_so_only_goes_on() -> None:
    rig = Rig(Counter(0, 9999))
    rig.show(*modulo(10_000), *modulo(10_000)[10:])
    assert rig.told == []
    rig = Rig(Counter(0, 9999, falling=True))
    rig.show(*reversed(modulo(10_000)))
    assert rig.told == []
    assert (rig.timeline.epoch, rig.timeline.newest) == (1, 600)


def test_a_counter_that_is_set_to_zero_once_begins_an_epoch_and_no_more() -> None:
    rig = Rig()
    rig.show(*range(35_000, 36_000, 60), *range(0, 600, 60))
    assert (rig.told, rig.timeline.epoch) == ([], 2)
    assert not rig.conditions.holds(ErrorCode.ENCODER_LOST)


def test_a_count_that_the_described_counter_cannot_show_is_no_place() -> None:
    rig = Rig(Counter(0, 9999))
    rig.show(9900, 9960)
    before = rig.timeline.newest
    rig.show(10_020)
    assert rig.told == [
        (
            "the encoder shows 10020, but encoder.counter_lowest and counter_highest are 0 to 9999. Write the "
            "lowest and the highest value of the PLC's counter"
        )
    ]
    assert rig.timeline.newest == before
    assert not rig.conditions.holds(ErrorCode.ENCODER_LOST)
    rig.encoder.boot_id = 8
    rig.show(100)
    assert rig.told == []


def test_of_many_epochs_a_few_are_told_and_the_others_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig()
    rig.show(*(1000 * (at % 7) for at in range(400)))
    begun = [message for message in caplog.messages if message.startswith("encoder epoch")]
    assert (rig.timeline.epoch, rig.told) == (400, [])
    assert [message.split(" begins")[0] for message in begun] == [
        "encoder epoch 1",
        "encoder epoch 2",
        "encoder epoch 3",
    ]
    rig.show(*(1000 * (at % 7) for at in range(400, 520)))
    begun = [message for message in caplog.messages if message.startswith("encoder epoch")]
    assert begun[3] == "encoder epoch 501 begins (boot 00000007), 497 earlier ones were not logged"
    assert begun[4] == "encoder epoch 502 begins (boot 00000007)"
    assert len(begun) == 6


def test_a_belt_stands_if_an_encoder_that_answers_shows_no_new_count_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    assert not rig.track.stands, "nobody has heard of it yet"
    rig.show(0, 60, 120)
    monkeypatch.setattr("edge_inspector.stages.track._STANDS_NS", 10**18)
    assert not rig.track.stands
    monkeypatch.setattr("edge_inspector.stages.track._STANDS_NS", -(10**18))
    assert rig.track.stands
    rig.track.stop(failed=False)
    assert not rig.track.stands


def test_each_new_sample_is_told() -> None:
    rig, told = Rig(), list[int]()
    rig.track._moved_on = lambda: told.append(rig.timeline.news)
    rig.show(0, 10, 20)
    assert told == [1, 2, 3], "when the timeline has it"
