"""Windows of large frames: all cores work on them, the first frame first, and no error is lost."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from support.mqtt_peers import wait_until

from edge_inspector.drivers import Due
from edge_inspector.segmenters.spread import Spread, Work, _SpreadCall

ALWAYS = Due(0.0, lambda: True)


def meet(together: threading.Barrier) -> None:
    together.wait()


@pytest.fixture
def spread() -> Iterator[Spread]:
    before = set(threading.enumerate())
    made = Spread()
    yield made
    made.close()
    assert set(threading.enumerate()) <= before, "no thread outlives it"


def test_every_part_is_done_once(spread: Spread) -> None:
    done: list[int] = []
    for workers in (1, 2, 3):
        spread.run([partial(done.append, at) for at in range(50)], workers, ALWAYS)
    assert sorted(done) == sorted([*range(50)] * 3)


def test_one_worker_needs_no_thread_and_keeps_the_order(spread: Spread) -> None:
    before, done = set(threading.enumerate()), list[int]()
    spread.run([partial(done.append, at) for at in range(5)], 1, ALWAYS)
    assert done == [0, 1, 2, 3, 4]
    assert set(threading.enumerate()) == before


def test_several_parts_run_at_the_same_time_and_never_more_than_there_are_workers(spread: Spread) -> None:
    together = threading.Barrier(3, timeout=30.0)
    spread.run([lambda: meet(together)] * 3, 3, ALWAYS)

    lock, now, most = threading.Lock(), 0, 0
    both = threading.Barrier(2, timeout=30.0)

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        both.wait()
        with lock:
            now -= 1

    callers = [threading.Thread(target=spread.run, args=([work] * 6, 2, ALWAYS)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30.0)
    assert most == 2


def test_the_frame_that_came_first_is_finished_first(spread: Spread) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def holds() -> None:
        begun.set()
        assert go_on.wait(30.0)
        done.append("first")

    first = threading.Thread(target=spread.run, args=([holds, lambda: done.append("first")], 1, ALWAYS))
    first.start()
    assert begun.wait(30.0)
    second = threading.Thread(target=spread.run, args=([lambda: done.append("second")], 1, ALWAYS))
    second.start()
    go_on.set()
    first.join(30.0)
    second.join(30.0)
    assert done == ["first", "first", "second"]


def test_of_two_frames_the_one_that_is_due_first_is_finished_first(spread: Spread) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def holds() -> None:
        begun.set()
        assert go_on.wait(30.0)

    def start(name: str, by: float, *parts: Work) -> threading.Thread:
        caller = threading.Thread(
            target=spread.run, args=([*parts, *[lambda: done.append(name)] * 3], 1, Due(by, lambda: True))
        )
        caller.start()
        return caller

    callers = [start("later", 200.0, holds)]
    assert begun.wait(30.0)
    callers.append(start("sooner", 100.0))
    wait_until(lambda: len(spread._calls) == 2, 30.0)
    go_on.set()
    for caller in callers:
        caller.join(30.0)
    assert done == ["sooner"] * 3 + ["later"] * 3


@pytest.mark.parametrize("workers", [1, 3])
def test_the_rest_of_a_frame_that_is_not_wanted_any_more_is_left_out(spread: Spread, workers: int) -> None:
    done: list[int] = []
    assert not spread.run([partial(done.append, at) for at in range(1000)], workers, Due(0.0, lambda: len(done) < 5))
    assert 5 <= len(done) < 5 + workers
    assert spread.run([partial(done.append, 0)], workers, ALWAYS), "and it works on"


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_reaches_the_caller_and_the_rest_is_left_out(spread: Spread, workers: int) -> None:
    done: list[int] = []

    def fails() -> None:
        raise RuntimeError("no mask")

    with pytest.raises(RuntimeError, match="no mask"):
        spread.run([fails] * workers + [lambda: done.append(1)] * 1000, workers, ALWAYS)
    assert len(done) < 1000
    spread.run([lambda: done.append(2)], workers, ALWAYS)
    assert done[-1] == 2, "and it works on"


def test_after_the_end_it_can_begin_again(spread: Spread) -> None:
    for _ in range(2):
        together = threading.Barrier(2, timeout=30.0)
        spread.run([partial(meet, together)] * 2, 2, ALWAYS)
        spread.close()


def test_without_work_the_threads_end_by_themselves_and_come_back() -> None:
    forgotten = Spread()  # nobody closes it
    for _ in range(2):
        done: list[int] = []
        forgotten.run([partial(done.append, number) for number in range(6)], workers=3, due=ALWAYS)
        assert sorted(done) == list(range(6))
        deadline = time.monotonic() + 20
        while any(thread.name.startswith("window-") for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_thread_that_leaves_makes_room_for_one_that_waits(spread: Spread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.segmenters.spread._IDLE_S", 60.0)  # so that no thread looks by itself
    reached = {name: threading.Event() for name in ("a1", "a2", "b1", "b2", "b3")}
    go_on = {name: threading.Event() for name in reached}
    takers: dict[str, str] = {}

    def part(name: str) -> Work:
        def work() -> None:
            takers[name] = threading.current_thread().name
            reached[name].set()
            assert go_on[name].wait(30.0)

        return work

    def start(by: float, *names: str) -> threading.Thread:
        caller = threading.Thread(target=spread.run, args=([part(name) for name in names], 2, Due(by, lambda: True)))
        caller.start()
        return caller

    callers = [start(200.0, "a1", "a2")]
    assert reached["a1"].wait(30.0)
    assert reached["a2"].wait(30.0)
    callers.append(start(100.0, "b1", "b2", "b3"))
    wait_until(lambda: len(spread._calls) == 2, 30.0)
    own, helped = ("a2", "a1") if takers["a1"].startswith("window-") else ("a1", "a2")
    try:
        go_on[own].set()  # the first caller goes on with b1
        assert reached["b1"].wait(30.0)
        go_on[helped].set()  # the helper, or the second caller, goes on with b2
        assert reached["b2"].wait(30.0)
        go_on["b1"].set()  # the first caller leaves
        assert reached["b3"].wait(10.0)
    finally:
        for event in go_on.values():
            event.set()
        for caller in callers:
            caller.join(30.0)


def test_a_thread_that_helps_stays_while_parts_wait_for_a_place(
    spread: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspector.segmenters.spread._IDLE_S", 0.02)
    done = threading.Event()
    spread._workers = spread._busy = 2
    spread._calls.append(_SpreadCall([done.set], ALWAYS))
    spread._start_helpers(1)
    (helper,) = spread._helpers
    helper.join(0.5)
    assert helper.is_alive()
    assert not done.is_set()
    with spread._changed:
        spread._busy -= 1
        spread._changed.notify_all()
    assert done.wait(30.0)
