"""Threads that fail, hang or end: who knows of it, and what follows."""

import ast
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import edge_inspector
from edge_inspector.runtime.supervisor import Supervisor
from edge_inspector.runtime.worker import Worker


class Recorded:
    """A stage that writes down what is called, and does in `step` what the test wants."""

    def __init__(self, act: Callable[[], object] = lambda: time.sleep(0.001), beat_within_s: float = 30.0) -> None:
        self.name = "recorded"
        self.beat_within_s = beat_within_s
        self.calls: list[tuple[str, str]] = []
        self.act = act
        self.start_error: Exception | None = None
        self.failed: list[bool] = []

    def start(self) -> None:
        self._note("start")
        if self.start_error:
            raise self.start_error

    def step(self) -> None:
        if not self.calls or self.calls[-1][0] != "step":
            self._note("step")
        self.act()

    def stop(self, *, failed: bool) -> None:
        self._note("stop")
        self.failed.append(failed)

    def _note(self, what: str) -> None:
        self.calls.append((what, threading.current_thread().name))

    @property
    def sequence(self) -> list[str]:
        return [what for what, _ in self.calls]


class Gate:
    """Lets a step hang until the test opens it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        self.open.wait(30.0)


class Told:
    """What a supervisor says."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, bool]] = []
        self.restarts: list[str] = []

    def fault(self, name: str, faulty: bool) -> None:  # noqa: FBT001 -- the supervisor's callback
        self.faults.append((name, faulty))

    def supervise(self, *workers: Worker, limit: int = 3, window_s: float = 60.0) -> Supervisor:
        return Supervisor(workers, on_fault=self.fault, on_restart=self.restarts.append, limit=limit, window_s=window_s)


def broken() -> None:
    raise ValueError("broken on purpose")


def wait_until(done: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.002)


def test_a_worker_starts_steps_and_stops_in_its_own_named_thread() -> None:
    stage = Recorded()
    worker = Worker(stage)
    assert not worker.alive
    worker.start()
    wait_until(lambda: "step" in stage.sequence)
    assert worker.beating
    worker.stop()
    assert worker.join(10.0)
    assert stage.calls == [("start", "recorded"), ("step", "recorded"), ("stop", "recorded")]
    assert stage.failed == [False]
    assert worker.error is None
    assert not worker.alive
    assert not worker.beating


def test_the_kernel_knows_a_worker_by_its_name_as_far_as_that_goes() -> None:
    seen: list[str] = []
    stage = Recorded(lambda: seen.append(Path("/proc/thread-self/comm").read_text().strip()))
    stage.name = "acquire-camera-eleven"
    worker = Worker(stage)
    worker.start()
    wait_until(lambda: seen)
    worker.stop()
    assert worker.join(5.0)
    assert seen[0] == "acquire-camera-"


def test_a_worker_never_started_joins_at_once() -> None:
    assert Worker(Recorded()).join(0.0)


def test_a_failed_worker_keeps_its_error_says_so_and_still_stops_its_stage(caplog: pytest.LogCaptureFixture) -> None:
    stage = Recorded(broken)
    worker = Worker(stage)
    worker.start()
    assert worker.join(10.0)
    assert isinstance(worker.error, ValueError)
    assert stage.sequence == ["start", "step", "stop"]
    assert "worker recorded failed: ValueError: broken on purpose" in caplog.text
    assert stage.failed == [True]


def test_a_stage_that_cannot_start_is_stopped_too() -> None:
    stage = Recorded()
    stage.start_error = OSError("no device")
    worker = Worker(stage)
    worker.start()
    assert worker.join(10.0)
    assert worker.error is stage.start_error
    assert stage.sequence == ["start", "stop"]


def test_a_worker_started_again_has_forgotten_its_error_and_its_stop() -> None:
    stage = Recorded(broken)
    worker = Worker(stage)
    worker.start()
    worker.join(10.0)
    stage.act = lambda: time.sleep(0.001)
    worker.stop()
    worker.start()
    assert worker.error is None
    wait_until(lambda: stage.sequence.count("step") == 2)
    worker.stop()
    assert worker.join(10.0)


def test_a_join_that_runs_out_of_time_says_so() -> None:
    gate = Gate()
    worker = Worker(Recorded(gate))
    worker.start()
    gate.reached.wait(10.0)
    worker.stop()
    assert not worker.join(0.01)
    gate.open.set()
    assert worker.join(10.0)


def test_the_supervisor_restarts_a_failed_worker_only_so_often_and_then_reports_a_fault() -> None:
    stage, told = Recorded(broken), Told()
    supervisor = told.supervise(worker := Worker(stage), limit=2)
    supervisor.start()
    for _ in range(4):
        worker.join(10.0)
        supervisor.watch()
    assert told.restarts == ["recorded", "recorded"]
    assert stage.sequence.count("start") == 3
    assert told.faults[-1] == ("recorded", True)
    assert not supervisor.healthy


def test_restarts_of_long_ago_do_not_count() -> None:
    told = Told()
    supervisor = told.supervise(worker := Worker(Recorded(broken)), limit=1, window_s=0.0)
    supervisor.start()
    for _ in range(3):
        worker.join(10.0)
        time.sleep(0.001)
        supervisor.watch()
    worker.join(10.0)
    assert len(told.restarts) == 3


def test_a_restart_that_helps_is_no_fault() -> None:
    stage, told = Recorded(broken), Told()
    supervisor = told.supervise(worker := Worker(stage))
    supervisor.start()
    worker.join(10.0)
    stage.act = lambda: time.sleep(0.001)
    supervisor.watch()
    assert (told.restarts, told.faults) == (["recorded"], [])
    assert supervisor.healthy
    assert supervisor.stop([worker], time.monotonic_ns() + 10**10) == []


def test_a_hang_is_reported_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    gate, told = Gate(), Told()
    stage = Recorded(gate, beat_within_s=0.05)
    supervisor = told.supervise(worker := Worker(stage))
    supervisor.start()
    gate.reached.wait(10.0)
    wait_until(lambda: not worker.beating)
    supervisor.watch()
    supervisor.watch()
    assert told.faults == [("recorded", True)]
    assert told.restarts == []
    assert not supervisor.healthy
    assert "worker recorded hangs" in caplog.text
    stage.beat_within_s = 30.0
    gate.open.set()
    wait_until(lambda: worker.beating)
    supervisor.watch()
    assert told.faults == [("recorded", True), ("recorded", False)]
    assert supervisor.stop([worker], time.monotonic_ns() + 10**10) == []


def test_stop_names_the_workers_that_did_not_end_by_the_deadline() -> None:
    gate, told = Gate(), Told()
    stuck, free = Worker(Recorded(gate)), Worker(Recorded())
    stuck.name, free.name = "stuck", "free"
    supervisor = told.supervise(stuck, free)
    supervisor.start()
    gate.reached.wait(10.0)
    assert supervisor.stop([free], time.monotonic_ns() + 10**10) == []
    assert supervisor.stop([stuck], time.monotonic_ns()) == ["stuck"]
    gate.open.set()
    assert stuck.join(10.0)


# Each is one place, with the reason why nothing narrower would do.
BROAD = {
    "runtime/worker.py": "keeps the error; the supervisor decides what follows",
    "segmenters/spread.py": "keeps what a window raised, and raises it again in the thread that waits",
    "mqtt/session.py": "keeps what a callback raised inside paho's thread, and raises it again",
    "store/database.py": "closes the database and raises again",
}


def test_broad_excepts_are_where_they_are_justified_and_nowhere_else() -> None:
    root = Path(edge_inspector.__file__).parent
    found: dict[str, list[ast.ExceptHandler]] = {}
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
                found.setdefault(path.relative_to(root).as_posix(), []).append(node)
    assert {where: len(nodes) for where, nodes in found.items()} == dict.fromkeys(BROAD, 1)
    swallowing = [where for where, (node,) in found.items() if not isinstance(node.body[-1], ast.Raise)]
    assert sorted(swallowing) == ["runtime/worker.py", "segmenters/spread.py"]


def _is_broad(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(name is None or ast.unparse(name) in ("Exception", "BaseException") for name in names)
