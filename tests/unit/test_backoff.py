"""A device that does not answer is tried again: soon, then ever more rarely."""

import time

from edge_inspector.runtime.backoff import Backoff


def planned_s(backoff: Backoff) -> float:
    begun_ns = time.monotonic_ns()
    backoff.failed()
    return (backoff._next_ns - begun_ns) / 1e9


def test_the_first_try_is_due_at_once() -> None:
    begun = time.monotonic()
    assert Backoff(60.0, 60.0).due(wait_s=60.0)
    assert time.monotonic() - begun < 30.0


def test_waits_double_up_to_the_longest_give_or_take_a_quarter() -> None:
    backoff = Backoff(first_s=1.0, longest_s=5.0)
    for expected in (1.0, 2.0, 4.0, 5.0, 5.0, 5.0):
        assert 0.75 * expected <= planned_s(backoff) <= 1.25 * expected + 0.5


def test_devices_that_failed_together_do_not_try_again_together() -> None:
    assert len({round(planned_s(Backoff(10.0, 10.0)), 4) for _ in range(20)}) > 10


def test_success_starts_over_with_a_short_wait() -> None:
    backoff = Backoff(first_s=1.0, longest_s=64.0)
    for _ in range(8):
        backoff.failed()
    backoff.succeeded()
    assert backoff.due(wait_s=0.0)
    assert planned_s(backoff) <= 1.75


def test_a_try_that_is_not_due_keeps_the_loop_from_spinning_but_no_longer_than_asked() -> None:
    backoff = Backoff(first_s=60.0, longest_s=60.0)
    backoff.failed()
    begun = time.monotonic()
    assert not backoff.due(wait_s=0.02)
    assert 0.02 <= time.monotonic() - begun < 30.0


def test_the_wait_ends_when_the_try_is_due() -> None:
    backoff = Backoff(first_s=0.02, longest_s=0.02)
    backoff.failed()
    begun = time.monotonic()
    while not backoff.due(wait_s=60.0):
        pass
    assert 0.01 <= time.monotonic() - begun < 30.0
