"""The pieces of a web: each millimetre is announced once, in step with the pictures, whatever the web and they do."""

from itertools import pairwise

import numpy as np
import pytest

from edge_inspector.codes import ErrorCode
from edge_inspector.inspection.counter import Counter
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.records import EncoderSample, Frame, PlcInput
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.watches.pieces import Pieces, WebPieces

LENGTH, TOLERANCE, CAMERA, PATIENCE, BACK = 5000, 100.0, 1000, 2000.0, 600.0
STEP = 100  # counts from sample to sample
MS = 1_000_000
PICTURE = np.zeros((2, 2), np.uint8)


class Rig:
    """A web that moves in steps of a hundred counts, a step in ten milliseconds, and a clock that goes with it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, falling: bool = False, boot_id: int = 1) -> None:
        self.counter = Counter(falling=falling)
        self.timeline = Timeline(Motion(20_000.0, 100_000.0), counter=self.counter)
        self.conditions = Conditions()
        self.told: list[PlcInput] = []
        self.web = WebPieces(
            77,
            self.told.append,
            pieces=Pieces(LENGTH, tolerance=TOLERANCE, camera=CAMERA, shown=CAMERA, patience=PATIENCE, back=BACK),
            timeline=self.timeline,
            counter=self.counter,
            conditions=self.conditions,
            counts_per_mm=10.0,
        )
        self.now, self.count, self.boot_id = 10 * MS, 0, boot_id
        monkeypatch.setattr("edge_inspector.watches.pieces.time.monotonic_ns", lambda: self.now)
        self._sample()

    def run(self, counts: int, *, back: bool = False) -> None:
        for _ in range(0, counts, STEP):
            self.now += 10 * MS
            self.count += -STEP if back else STEP
            self._sample()

    def picture(self, late_ns: int = 0) -> bool:
        return self.web.seen(Frame("top", 1, self.now - late_ns, 0, received_ns=self.now, image=PICTURE))

    def _sample(self) -> None:
        raw = self.counter.shown(self.count)
        at = self.now
        self.timeline.add(EncoderSample(count=raw, device_ns=None, asked_ns=at, answered_ns=at, boot_id=self.boot_id))
        self.web.moved()

    @property
    def starts(self) -> list[int]:
        triggers = {trigger.part_seq: trigger for told in self.told for trigger in told.triggers}
        return [self.counter.near(triggers[seq].count, 0) for seq in sorted(triggers)]

    @property
    def backwards(self) -> bool:
        return self.conditions.holds(ErrorCode.WEB_BACKWARDS)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def test_pieces_begin_where_the_pictures_do(rig: Rig) -> None:
    rig.run(3000)
    assert rig.picture()
    for _ in range(4):
        rig.run(LENGTH)
        assert rig.picture()
    assert rig.starts == [2000, 7000, 12_000, 17_000, 22_000]


def test_pieces_follow_pictures_that_come_a_little_sooner_or_later(rig: Rig) -> None:
    rig.run(3000)
    rig.picture()
    for pitch in (5100, 4900, 5100, 5100):
        rig.run(pitch)
        assert rig.picture()
    assert rig.starts == [2000, 7100, 12_000, 17_100, 22_200]


def test_a_web_without_pictures_is_announced_all_the_same_and_without_gaps(rig: Rig) -> None:
    rig.run(60_000)
    assert rig.starts[0] == -CAMERA, "what lay under the camera at the start"
    assert {after - before for before, after in pairwise(rig.starts)} == {LENGTH}
    assert rig.starts[-1] + LENGTH + CAMERA + TOLERANCE + PATIENCE + LENGTH > 60_000


def test_a_missing_picture_costs_its_piece_and_no_other(rig: Rig) -> None:
    rig.run(3000)
    rig.picture()
    rig.run(2 * LENGTH)
    assert rig.picture()
    rig.run(LENGTH)
    assert rig.picture()
    assert rig.starts == [2000, 7000, 12_000, 17_000]


def test_a_picture_that_comes_late_belongs_to_the_piece_that_is_announced_already(rig: Rig) -> None:
    rig.run(3000)
    rig.picture()
    rig.run(LENGTH + 2500)
    assert rig.starts == [2000, 7000]
    assert rig.picture(late_ns=250 * MS)
    assert rig.starts == [2000, 7000]
    rig.run(2500)
    assert rig.picture()
    assert rig.starts == [2000, 7000, 12_000]


def test_pictures_that_begin_elsewhere_after_a_pause_are_followed(rig: Rig) -> None:
    rig.run(3000)
    rig.picture()
    rig.run(LENGTH + 2600)
    assert rig.picture()
    rig.run(LENGTH)
    assert rig.picture()
    assert rig.starts == [2000, 7000, 9600, 14_600]


def test_pictures_more_often_than_needed_are_left_out(rig: Rig) -> None:
    rig.run(3000)
    taken = []
    for _ in range(51):
        taken.append(rig.picture())
        rig.run(200)
    assert rig.starts == [2000, 7000, 12_000]
    assert sum(taken) < len(taken) / 4


def test_a_web_that_goes_back_is_told_and_nothing_is_announced_twice(rig: Rig) -> None:
    rig.run(20_000)
    before = rig.starts
    rig.run(4000, back=True)
    assert rig.backwards
    assert not rig.picture()
    rig.run(3000)
    assert rig.starts == before
    rig.run(1000)
    assert not rig.backwards
    rig.run(LENGTH)
    assert rig.starts == [*before, before[-1] + LENGTH]


def test_a_web_that_rocks_a_little_is_not_told(rig: Rig) -> None:
    rig.run(20_000)
    rig.run(500, back=True)
    assert not rig.backwards


def test_a_web_that_stands_announces_nothing(rig: Rig) -> None:
    rig.run(20_000)
    assert rig.picture()
    before = rig.starts
    for _ in range(50):
        rig.now += 10 * MS
        rig._sample()
        rig.picture()
    assert rig.starts == before


def test_counts_that_wrap_are_told_as_the_counter_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    rig.count = 2**31 - 10_000
    rig.boot_id = 2
    rig.run(60_000)
    counts = [trigger.count for trigger in rig.told[-1].triggers]
    assert all(-(2**31) <= count < 2**31 for count in counts)
    assert sum(after < before for before, after in pairwise(counts)) == 1, "it wrapped"
    steps = {(after - before) % 2**32 for before, after in pairwise(counts)}
    assert steps == {LENGTH}


def test_a_counter_that_falls_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, falling=True)
    rig.run(30_000)
    assert {after - before for before, after in pairwise(rig.starts)} == {LENGTH}
    assert not rig.backwards


def test_an_encoder_that_starts_anew_begins_new_pieces(rig: Rig) -> None:
    rig.run(20_000)
    many = len(rig.starts)
    rig.boot_id, rig.count = 2, 500_000
    rig.run(3000)
    assert rig.picture()
    assert rig.starts[many:] == [502_000]


def test_a_damaged_picture_has_its_piece(rig: Rig) -> None:
    rig.run(3000)
    rig.web.damaged(1, rig.now)
    assert rig.starts == [2000]


def test_a_picture_of_the_future_announces_nothing(rig: Rig) -> None:
    rig.run(3000)
    rig.picture()
    assert not rig.picture(late_ns=-60_000 * MS)
    assert rig.starts == [2000]


def test_a_picture_before_the_first_count_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    rig.web._timeline = Timeline(Motion(20_000.0, 100_000.0))
    assert rig.picture()
    rig.web.moved()
    assert rig.starts == []


def test_it_speaks_ten_times_a_second_and_answers_no_call(rig: Rig) -> None:
    rig.told.clear()
    rig.now += 200 * MS
    rig.web.tick()
    rig.web.tick()
    rig.web.opened()
    assert len(rig.told) == 1
    assert (rig.told[0].boot_id, rig.told[0].requests, rig.told[0].asked_ns) == (77, False, 0)
    assert "pieces of a web" in rig.web.call("a")
