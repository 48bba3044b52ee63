"""A demo may be ended at any moment, and leaves no process behind."""

from __future__ import annotations

import signal
import threading

import pytest

from edge_inspector.commands.sigterm import ended_by_sigterm
from edge_inspector.simulation.signals import endings_wait


def told_in_between(number: signal.Signals, done: list[str]) -> None:
    with ended_by_sigterm(), endings_wait():
        signal.raise_signal(number)
        done.append("noted")


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_what_ends_the_demo_waits_until_its_processes_are_known(
    number: signal.Signals, ends: type[BaseException]
) -> None:
    done: list[str] = []
    with pytest.raises(ends):
        told_in_between(number, done)
    assert done == ["noted"]


def test_handlers_are_as_before() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with endings_wait():
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_may_start_processes_as_well() -> None:
    done = []

    def start() -> None:
        with endings_wait():
            done.append("started")

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(10)
    assert done == ["started"]
