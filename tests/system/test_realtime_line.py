"""What the station file's `[realtime]` says reaches the daemon: each key by itself, seen from outside or at its end."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

pytestmark = pytest.mark.system

AT_EXIT = """
import atexit, gc, json, pathlib, sys
atexit.register(
    lambda: pathlib.Path({file!r}).write_text(json.dumps([gc.get_freeze_count() > 0, sys.getswitchinterval()]))
)
"""


def run(folder: Path, lines: str) -> tuple[list[tuple[str, set[int]]], list[float]]:
    """The daemon's threads by name with their cores, and how its interpreter was set in the end."""
    options = DemoOptions(parts=1, cameras=1, model_ms=5.0, lead_s=60.0, realtime=lines)
    demo = Demo(options, folder)
    at_exit = folder / "interpreter.json"
    (folder / "sitecustomize.py").write_text(AT_EXIT.format(file=str(at_exit)))
    demo.daemon_environment = {"PYTHONPATH": str(folder)}
    with demo.running():
        threads = [
            ((task / "comm").read_text().strip(), os.sched_getaffinity(int(task.name)))
            for task in Path(f"/proc/{demo.daemon.pid}/task").iterdir()
        ]
        demo.daemon.terminate()
        assert demo.daemon.wait(10) == 0
    return threads, json.loads(at_exit.read_text())


def test_unless_told_otherwise_threads_run_everywhere_and_the_start_is_frozen(tmp_path: Path) -> None:
    threads, interpreter = run(tmp_path, "")
    assert {"segment-0", "judge"} <= {name for name, _ in threads}
    assert all(cores == os.sched_getaffinity(0) for _, cores in threads)
    assert interpreter == [True, pytest.approx(0.001)]


def test_the_collector_and_the_switch_interval_are_as_told(tmp_path: Path) -> None:
    _, interpreter = run(tmp_path, "gc_freeze = false\nswitch_interval_ms = 5.0")
    assert interpreter == [False, pytest.approx(0.005)]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_models_cores_are_its_own(tmp_path: Path) -> None:
    kept = max(os.sched_getaffinity(0))
    threads, _ = run(tmp_path, f"model_cores = [{kept}]")
    models = [cores for name, cores in threads if name.startswith("segment")]
    assert models
    assert all(cores == {kept} for cores in models)
    rest = [name for name, cores in threads if not name.startswith("segment") and kept in cores]
    assert rest == []


def test_a_killed_camera_process_is_a_lost_camera_that_comes_back(tmp_path: Path) -> None:
    demo = Demo(
        DemoOptions(parts=40, cameras=1, speed_mm_s=1000.0, model_ms=1.0, realtime="camera_processes = true"), tmp_path
    )
    with demo.running():
        (process,) = camera_processes(demo)
        time.sleep(4.0)  # some parts have passed
        os.kill(process, signal.SIGKILL)
        demo.play()
        (again,) = camera_processes(demo)
        report = demo.finish()
    assert again != process
    assert not Path(f"/proc/{again}").exists()
    assert report["unaccounted"] == 0
    assert report["late"] == 0
    reasons = report["not_inspected_reasons"]
    assert isinstance(reasons, dict)
    assert set(reasons) <= {"camera_lost", "view_missing"}
    assert 0 < sum(reasons.values()) < 20, "those of a second or two"


def camera_processes(demo: Demo) -> list[int]:
    children = Path(f"/proc/{demo.daemon.pid}/task").glob("*/children")
    pids = [int(pid) for each in children for pid in each.read_text().split()]
    return [pid for pid in pids if b"edge_inspector.camera_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
