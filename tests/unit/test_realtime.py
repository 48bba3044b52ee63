"""Threads that go first, threads that go behind, and a clear word where the system does not allow it."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Collection

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
        self.cores: list[set[int]] = []
        self.stepped = threading.Event()

    def start(self) -> None: ...

    def step(self) -> None:
        self.found.append((os.sched_getscheduler(0), os.sched_getparam(0).sched_priority))
        self.cores.append(os.sched_getaffinity(0))
        self.stepped.set()

    def stop(self, *, failed: bool) -> None: ...


USUAL = os.sched_getscheduler(0)  # tests may run in the idle class


def may_be_first() -> bool:
    return os.getuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= 10


@pytest.mark.skipif(not may_be_first(), reason="needs the right to SCHED_FIFO: root, or ulimit -r")
@pytest.mark.parametrize(("fifo", "expected"), [(0, (USUAL, 0)), (7, (os.SCHED_FIFO, 7))])
def test_a_worker_runs_at_its_priority_and_leaves_the_others_theirs(fifo: int, expected: tuple[int, int]) -> None:
    look = Look()
    worker = Worker(look, fifo=fifo)
    worker.start()
    assert look.stepped.wait(5)
    worker.stop()
    assert worker.join(5)
    assert look.found[0] == expected
    assert os.sched_getscheduler(0) == USUAL


@pytest.mark.skipif(not may_be_first(), reason="needs the right to SCHED_FIFO: root, or ulimit -r")
def test_claiming_leaves_the_claimer_as_it_was() -> None:
    realtime.claim(5, lock_memory=False)
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == (USUAL, 0)


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


ON_CORES = """
import os, threading
from edge_inspector.errors import ConfigError
from edge_inspector.runtime.realtime import opening_on
allowed, seen, over = os.sched_getaffinity(0), [], threading.Event()
earlier = threading.Thread(target=over.wait)
earlier.start()
try:
    with opening_on({cores}):
        seen.append(os.sched_getaffinity(0))
except ConfigError as error:
    print(*error.faults)
seen += [os.sched_getaffinity(earlier.native_id), os.sched_getaffinity(0)]
over.set()
print([["all" if cores == allowed else sorted(cores) for cores in seen]])
"""


def on_cores(wanted: Collection[int]) -> str:
    """What a process says that opens something on these cores: within, of an earlier thread, and afterwards."""
    code = ON_CORES.format(cores=list(wanted))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_what_is_opened_has_its_cores_and_all_else_the_others() -> None:
    *others, kept = sorted(os.sched_getaffinity(0))
    assert on_cores([kept]) == f"[[[{kept}], {others}, {others}]]\n"


@pytest.mark.parametrize("wanted", [os.sched_getaffinity(0), [4000], [min(os.sched_getaffinity(0)), 4000]])
def test_cores_that_are_not_there_or_all_of_them_are_refused_and_nothing_changes(wanted: Collection[int]) -> None:
    said, seen = on_cores(wanted).splitlines()
    assert said.startswith("realtime.model_cores: this process may use ")
    assert seen == "[['all', 'all']]"


def test_without_cores_of_the_model_everything_runs_everywhere() -> None:
    assert on_cores([]) == "[['all', 'all', 'all']]\n"


def test_a_worker_stays_on_its_cores() -> None:
    core = min(os.sched_getaffinity(0))
    look = Look()
    worker = Worker(look, cores=(core,))
    worker.start()
    assert look.stepped.wait(5)
    worker.stop()
    assert worker.join(5)
    assert look.cores[0] == {core}


@pytest.mark.parametrize("freeze", [True, False])
def test_what_was_there_at_the_start_is_spared_the_collector_only_if_wanted(*, freeze: bool) -> None:
    code = f"import gc; from edge_inspector.runtime.realtime import settle; settle(freeze={freeze})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(gc.get_freeze_count())"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (int(done.stdout) > 1000) == freeze


@pytest.mark.parametrize(("started_at", "found_at"), [(0, 10), (19, 19)])
def test_a_thread_goes_behind_and_never_up(started_at: int, found_at: int) -> None:
    """Without root, the way up is refused: a station started with `nice` would end at once."""
    found = []

    def behind() -> None:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(started_at, os.getpriority(os.PRIO_PROCESS, thread)))
        begun_at = os.getpriority(os.PRIO_PROCESS, thread)
        realtime.go_behind()
        found.append(os.getpriority(os.PRIO_PROCESS, thread) == max(found_at, begun_at))

    thread = threading.Thread(target=behind)
    thread.start()
    thread.join()
    assert found == [True]
