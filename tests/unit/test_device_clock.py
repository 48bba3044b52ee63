"""The camera's clock on the host's clock: offset, drift, jitter, steps."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from edge_inspector.cameras import gige
from edge_inspector.cameras.clock import DeviceClock, arrival_error_ns, exposure_error_ns

SECOND = 1_000_000_000
OFFSET = 7_000 * SECOND


def run(drift: float, *, seconds: float, rate: float, jitter_ns: int, delay_ns: int = 0) -> list[int]:
    """The errors of the mapping, frame by frame, of a clock that runs `drift` slow."""
    chance = random.Random(5)
    clock = DeviceClock()
    errors = []
    for index in range(int(seconds * rate)):
        host = int((index + 1) * SECOND / rate)
        device = int((host - OFFSET) * (1 - drift))
        clock.add(device, host + delay_ns + int(chance.expovariate(1 / jitter_ns)))
        errors.append(clock.host_ns(device) - host)
    return errors


def test_exact_where_nothing_disturbs() -> None:
    clock = DeviceClock()
    clock.add(500, OFFSET + 500)
    assert clock.host_ns(700) == OFFSET + 700


@pytest.mark.parametrize("drift", [0.0, 50e-6, -50e-6, 150e-6])
def test_follows_drift_under_jitter(drift: float) -> None:
    errors = run(drift, seconds=60, rate=20, jitter_ns=500_000)
    # Delays of half a millisecond on average; the least of a second's twenty counts.
    assert max(map(abs, errors[-400:])) < 300_000
    assert max(map(abs, errors[20:])) < 1_000_000


def test_keeps_the_least_delay_as_its_error() -> None:
    errors = run(20e-6, seconds=30, rate=20, jitter_ns=100_000, delay_ns=3_000_000)
    assert all(2_900_000 < error < 3_300_000 for error in errors[-200:])


def test_drift_is_bounded_however_few_the_samples() -> None:
    clock = DeviceClock(drift_max=200e-6)
    for index in range(6):
        clock.add(index * SECOND, OFFSET + index * SECOND + (6 - index) * 10_000_000)
    assert abs(clock.drift) <= 200e-6


def test_a_restarted_device_clock_begins_anew() -> None:
    clock = DeviceClock()
    for index in range(10):
        clock.add(100 * SECOND + index * SECOND, OFFSET + index * SECOND)
    clock.add(2 * SECOND, OFFSET + 11 * SECOND)
    assert clock.host_ns(2 * SECOND) == OFFSET + 11 * SECOND


def test_a_device_clock_set_forward_begins_anew() -> None:
    clock = DeviceClock()
    for index in range(10):
        clock.add(index * SECOND, OFFSET + index * SECOND)
    clock.add(500 * SECOND, OFFSET + 11 * SECOND)
    assert clock.host_ns(500 * SECOND) == OFFSET + 11 * SECOND


def set_back(step_ns: int, *, latched: bool) -> list[int]:
    """The errors after it, twice a second."""
    clock = DeviceClock()
    for index in range(20):
        clock.add(index * SECOND // 2, OFFSET + index * SECOND // 2)
    errors = []
    for index in range(20, 40):
        device, host = index * SECOND // 2 - step_ns, OFFSET + index * SECOND // 2
        clock.add(device, host, latched=latched)
        errors.append(abs(clock.host_ns(device) - host))
    return errors


@pytest.mark.parametrize("step_ns", [30_000_000, 400_000_000, 900_000_000])
def test_a_device_clock_set_back_begins_anew(step_ns: int) -> None:
    assert max(set_back(step_ns, latched=True)) < 1_000_000
    # Arrivals may be late: only when none is in time for a while, it is the clock.
    errors = set_back(step_ns, latched=False)
    assert errors[5] > step_ns - 1_000_000
    assert max(errors[10:]) < 1_000_000


def test_a_few_late_pictures_of_a_slow_line_leave_the_clock_alone() -> None:
    clock = DeviceClock()
    for index in range(12):
        device = index * 4 * SECOND
        clock.add(device, OFFSET + device + (120_000_000 if index in {6, 7, 8} else 5_000_000))
        assert abs(clock.host_ns(device) - OFFSET - device - 5_000_000) < 10_000


def test_arrivals_that_are_late_together_leave_the_clock_alone() -> None:
    clock = DeviceClock()
    for index in range(200):
        device = index * SECOND // 20
        clock.add(device, OFFSET + device + (150_000_000 if 100 <= index < 150 else 0))
        assert clock.host_ns(device) == OFFSET + device


def test_old_slots_are_forgotten() -> None:
    clock = DeviceClock(slots=5)
    for index in range(40):
        clock.add(index * SECOND, OFFSET + index * SECOND + (0 if index < 10 else 5_000_000))
    assert abs(clock.host_ns(40 * SECOND) - (OFFSET + 40 * SECOND + 5_000_000)) < 100_000


class Registers:
    """A camera's, over a network that takes so long."""

    round_trip_ns = 200_000

    def __init__(self) -> None:
        self.now_ns = SECOND

    def word(self, _address: int) -> int:
        return 1

    def set_word(self, _address: int, _word: int) -> None:
        self.now_ns += self.round_trip_ns


def test_a_network_that_became_slower_is_believed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    device: Any = Registers()
    monkeypatch.setattr(gige, "time", SimpleNamespace(monotonic_ns=lambda: device.now_ns))
    latch = gige.TimestampLatch(device)
    assert latch.read() is not None
    device.round_trip_ns = 1_000_000
    assert latch.read() is None
    assert any(latch.read() for _ in range(100))
    device.round_trip_ns = 3_000_000
    assert not any(latch.read() for _ in range(1000))


def test_the_bound_on_an_instant_is_that_of_the_worst_reading_and_grows_until_the_next() -> None:
    clock = DeviceClock(drift_max=200e-6)
    clock.add(0, OFFSET, error_ns=700_000)
    clock.add(2 * SECOND, OFFSET + 2 * SECOND, error_ns=300_000)
    assert clock.error_ns(2 * SECOND) == 700_000
    assert clock.error_ns(4 * SECOND) == 700_000 + 400_000
    assert exposure_error_ns(clock, 4 * SECOND, 10**6, None) == 1_100_000
    assert exposure_error_ns(clock, 4 * SECOND, 10**6, 50.0) == 50_000, "whoever measured it knows better"


def test_without_a_stamp_or_a_clock_the_transfer_is_in_the_bound() -> None:
    clock = DeviceClock()
    assert exposure_error_ns(clock, 5, 10**6, None) == 20_000_000 + 8_000_000
    clock.add(1, OFFSET, error_ns=arrival_error_ns(10**6))
    assert exposure_error_ns(clock, 0, 10**6, None) == 20_000_000 + 8_000_000
    assert exposure_error_ns(clock, 1, 10**6, None) == 1_000_000 + 8_000_000


def test_a_latched_clock_is_unsure_by_half_its_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((1_000_000, 1_400_000))
    monkeypatch.setattr(gige.time, "monotonic_ns", lambda: next(now))
    device: Any = SimpleNamespace(word=lambda at: {0x0940: 10**9, 0x094C: 77}.get(at, 0), set_word=lambda *_: None)
    assert gige.TimestampLatch(device).read() == (77, 1_200_000, 200_000)
