"""The whole station on the simulated line, once per fault: no part may be unaccounted for in any of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.simulation.station_files import models_dir

pytestmark = pytest.mark.system


def run(folder: Path, **options: Any) -> dict[str, Any]:
    demo = Demo(DemoOptions(**options), folder)
    with demo.running():
        demo.play()
        return demo.finish()


def assert_every_part_has_one_verdict(report: dict[str, Any]) -> None:
    assert report["parts_triggered"] > 0
    assert report["verdicts"] == report["parts_triggered"]
    assert report["unaccounted"] == 0
    assert report["duplicates"] == 0
    assert report["gate_wrong_part"] == 0
    assert report["gate_misses"] == 0


def test_the_shipped_model_inspects_every_part_and_the_gate_hits_the_right_ones(tmp_path: Path) -> None:
    if not (models_dir() / "tile-1.1" / "manifest.toml").exists():
        pytest.fail("models/tile-1.1 is missing")
    report = run(tmp_path, parts=40, speed_mm_s=1500.0)

    assert_every_part_has_one_verdict(report)
    assert report["late"] == 0
    assert report["not_inspected"] == 0
    assert report["truth_defective"] > 0
    assert report["escapes"] == 0
    assert report["false_rejects"] <= 2
    assert report["gate_hits"] == report["reject"]
    assert report["unaccounted_mqtt"] == 0
    assert report["position_bound_broken"] == 0
    assert report["position_error_mm"]["p50"] < 1.0
    assert report["daemon_exit_code"] == 0
    assert report["daemon_stop_s"] < 2.0
    assert report["execution_provider"] == "cpu"


def test_a_model_three_times_too_slow_leaves_parts_not_inspected_before_their_due_count(tmp_path: Path) -> None:
    # 4 cameras x 5 parts/s need 20 frames/s; at 150 ms the model does 6.7.
    report = run(tmp_path, parts=40, model_ms=150.0)

    assert_every_part_has_one_verdict(report)
    assert report["late"] == 0
    assert report["gate_without_verdict"] == 0
    assert report["not_inspected"] > 10
    assert set(report["not_inspected_reasons"]) <= {"late", "mailbox_full"}
    assert report["gate_hits"] == report["reject"] + report["not_inspected"]
    assert report["frames_evicted"] > 0


def test_a_lost_camera_and_damaged_frames_cost_only_the_parts_concerned(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        parts=40,
        model_ms=5.0,
        camera_faults="incomplete_every = 9, lost_from = 15, lost_until = 20",
    )

    assert_every_part_has_one_verdict(report)
    assert report["late"] == 0
    # The simulated model finds the plank's own edges: a part with a view left is a REJECT, so look at the frames.
    assert report["frames_failed"] >= 2
    assert "camera_lost (E101) cam1" in (tmp_path / "daemon.log").read_text()


def test_a_model_that_fails_is_rebuilt_and_its_parts_are_answered(tmp_path: Path) -> None:
    report = run(tmp_path, parts=30, model_ms=5.0, model_fail_every=7)

    assert_every_part_has_one_verdict(report)
    assert report["late"] == 0
    assert "inference_failed (E301)" in (tmp_path / "daemon.log").read_text()


def test_a_killed_plc_and_a_killed_broker_lose_no_verdict(tmp_path: Path) -> None:
    report = run(tmp_path, parts=70, model_ms=5.0, kills=("plc@3", "broker@5"))

    assert_every_part_has_one_verdict(report)
    assert report["encoder_epochs"] == 2
    if report["broker"].startswith("mosquitto"):
        assert report["unaccounted_mqtt"] == 0


class DeadUntilTheGateDecided(Demo):
    """The killed daemon stays away until the PLC had to decide about a part by itself, however fast it starts."""

    def revive(self, what: str) -> None:
        until = time.monotonic() + 30
        while what == "daemon" and not any(event.get("why") == "no verdict" for event in read_ledger(self.ledger)):
            assert time.monotonic() < until, "no part came to the gate without a verdict"
            time.sleep(0.05)
        super().revive(what)


def test_a_killed_daemon_is_known_to_the_plc_and_its_parts_are_answered_by_the_next_one(tmp_path: Path) -> None:
    # Slow enough that a busy machine starts the next daemon before the trigger ring forgets: 16 parts are 8 s.
    demo = DeadUntilTheGateDecided(DemoOptions(parts=30, speed_mm_s=800.0, model_ms=5.0, kills=("daemon@3",)), tmp_path)
    with demo.running():
        demo.play()
        report = demo.finish()

    assert_every_part_has_one_verdict(report)
    assert report["not_inspected_reasons"].get("daemon_restarted", 0) > 0
    assert report["edge_silent_ms"]
    assert report["gate_without_verdict"] > 0, "the PLC must reject by itself what nobody answered"


@pytest.fixture
def notify_socket(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        yield manager


def test_the_service_manager_hears_ready_watchdog_and_stopping(tmp_path: Path, notify_socket: socket.socket) -> None:
    demo = Demo(DemoOptions(parts=1, model_ms=5.0, lead_s=60.0), tmp_path)
    with demo.running():
        demo.daemon.terminate()
        demo.daemon.wait(10)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "edge_inspector", "run", str(tmp_path / "station.toml")],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.DEVNULL,
        )
        try:
            heard: list[str] = []
            while not any("WATCHDOG=1" in each for each in heard):
                heard.append(notify_socket.recv(4096).decode())
            daemon.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            assert daemon.wait(10) == 0
            assert time.monotonic() - begun < 3.0
            while "STOPPING=1" not in heard:
                heard.append(notify_socket.recv(4096).decode())
        finally:
            daemon.kill()
            daemon.wait()
    assert heard[0].startswith("READY=1")


def test_a_demo_that_is_told_to_end_takes_its_processes_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_inspector", "demo", "--model-ms", "5", "--keep", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as demo:
        until = time.monotonic() + 30
        while len(processes_of(tmp_path)) < 3 and time.monotonic() < until:
            time.sleep(0.1)
        assert len(processes_of(tmp_path)) >= 3, "the demo itself, PLC and daemon"
        demo.terminate()
        assert demo.wait(15) == 128 + signal.SIGTERM
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found
