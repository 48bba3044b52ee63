"""Threads that go first, threads that go behind, and a clear word where the system does not allow it."""

import os
import resource
import subprocess
import sys
import threading

import pytest

from edge_inspector.runtime import realtime
from edge_inspector.runtime.worker import Worker

WITHOUT_RIGHTS = """
import os, resource
from edge_inspector.errors import ConfigError
from edge_inspector.runtime.realtime import claim
for limit in (resource.RLIMIT_RTPRIO, resource.RLIMIT_MEMLOCK):
    resource.setrlimit(limit, (0, 0))
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    claim({fifo}, lock_memory={lock})
except ConfigError as error:
    print(*error.faults)
"""


class Look:
    """A stage that notes how its thread is scheduled."""

    name = "look"
    beat_within_s = 5.0

    def __init__(self) -> None:
        self.found: list[tuple[int, int]] = []
        self.stepped = threading.Event()

    def start(self) -> None: ...

    def step(self) -> None:
        self.found.append((os.sched_getscheduler(0), os.sched_getparam(0).sched_priority))
        self.stepped.set()

    def stop(self, *, failed: bool) -> None: ...


def may_be_first() -> bool:
    return os.getuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= 10


@pytest.mark.skipif(not may_be_first(), reason="needs the right to SCHED_FIFO: root, or ulimit -r")
@pytest.mark.parametrize(("fifo", "expected"), [(0, (os.SCHED_OTHER, 0)), (7, (os.SCHED_FIFO, 7))])
def test_a_worker_runs_at_its_priority_and_leaves_the_others_theirs(fifo: int, expected: tuple[int, int]) -> None:
    look = Look()
    worker = Worker(look, fifo=fifo)
    worker.start()
    assert look.stepped.wait(5)
    worker.stop()
    assert worker.join(5)
    assert look.found[0] == expected
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(not may_be_first(), reason="needs the right to SCHED_FIFO: root, or ulimit -r")
def test_claiming_leaves_the_claimer_as_it_was() -> None:
    realtime.claim(5, lock_memory=False)
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == (os.SCHED_OTHER, 0)


@pytest.mark.parametrize(
    ("fifo", "lock", "says"),
    [
        (5, False, "realtime.fifo_priority: not permitted: set LimitRTPRIO= in the unit"),
        (0, True, "realtime.lock_memory: "),
        (0, False, ""),
    ],
)
def test_without_the_rights_the_setting_is_named_with_what_to_do(fifo: int, *, lock: bool, says: str) -> None:
    code = WITHOUT_RIGHTS.format(fifo=fifo, lock=lock)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(says)
    assert bool(done.stdout.strip()) == bool(says)


def test_no_priority_is_asked_for_unless_it_is_set_and_stamps_go_before_all() -> None:
    assert {realtime.fifo_of(kind, 0) for kind in ("track", "report", "judge", "acquire")} == {0}
    ranks = [realtime.fifo_of(kind, 10) for kind in ("track", "report", "judge", "acquire")]
    assert ranks == [13, 12, 11, 10]
