"""The encoder's thread tells what it measures, and a hundred epochs in a second are one line of the log."""

import logging

import pytest

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.inspection.counter_watch import CounterWatch
from edge_inspector.inspection.scale_watch import SpeedWatch
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.metrics import REGISTRY
from edge_inspector.records import EncoderSample
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.stages.track import Track

MS, S = 1_000_000, 1_000_000_000
SCALE, SPEED_MAX = 10.0, 660.0


class Encoder:
    """A belt of even speed, read every 10 ms by a clock of its own: the test need not wait."""

    def __init__(self, counts_per_s: float) -> None:
        self.counts_per_s = counts_per_s
        self._now_ns = self._count = 0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read(self) -> EncoderSample:
        self._now_ns += 10 * MS
        self._count += round(self.counts_per_s / 100)
        return EncoderSample(self._count, self._now_ns, self._now_ns - MS // 5, self._now_ns, boot_id=7)


class Rig:
    def __init__(self, counts_per_s: float) -> None:
        self.encoder = Encoder(counts_per_s)
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        timeline = Timeline(Motion(SPEED_MAX * SCALE, 50_000))
        counter = CounterWatch(-(2**31), 2**31 - 1, way=9000)
        self.track = Track(
            self.encoder,
            timeline,
            conditions=self.conditions,
            interval_s=1e-6,
            speed=SpeedWatch(SCALE, SPEED_MAX),
            counter=counter,
        )
        self.track.start()

    def run(self, samples: int) -> dict[str, str]:
        for _ in range(samples):
            self.track.step()
        return {held.subject: held.why for held in self.conditions.reasons() if held.code is ErrorCode.LINE_MISMATCH}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Track, "_wait", lambda _: None)


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


def test_speed_and_bound_are_measured_for_everybody_to_see() -> None:
    assert Rig(-6000).run(200) == {}
    assert gauge("edge_inspector_belt_speed_mm_s") == pytest.approx(-600)
    bound = gauge("edge_inspector_position_bound_mm")
    assert bound is not None
    assert 0.1 < bound < 10


def test_a_belt_that_the_file_cannot_explain_is_told_with_its_speed(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(24_000)
    with caplog.at_level(logging.INFO):
        told = rig.run(300)
    assert list(told) == ["scale"]
    assert "the belt runs at 2400 mm/s, line.speed_max_mm_s is 660" in told["scale"]
    assert gauge("edge_inspector_belt_speed_mm_s") == pytest.approx(2400)
    assert len(caplog.messages) < 10


def test_what_is_right_again_is_told_too() -> None:
    rig = Rig(24_000)
    assert rig.run(100)
    rig.encoder.counts_per_s = 6000
    assert rig.run(1200) == {}
