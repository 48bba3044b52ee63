"""The daemon under the service's own system call filter: what it needs must be allowed, what it never needs not."""

import ctypes.util
import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.sandbox import allowed_calls

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        shutil.which("systemd-analyze") is None or ctypes.util.find_library("seccomp") is None,
        reason="systemd-analyze or libseccomp is not installed",
    ),
]

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "edge-inspector.service"


def test_the_filter_forbids_what_an_intruder_would_want() -> None:
    forbidden = {"mount", "ptrace", "reboot", "init_module", "setuid", "chroot", "bpf", "kexec_load", "swapon"}
    assert not forbidden & allowed_calls(UNIT.read_text())


def test_the_filter_and_the_limits_permit_what_realtime_asks_for() -> None:
    unit = UNIT.read_text()
    assert {"setpriority", "sched_setscheduler", "sched_setaffinity", "mlockall"} <= allowed_calls(unit)
    assert "RestrictRealtime=no" in unit
    assert "LimitRTPRIO=" in unit
    assert "LimitMEMLOCK=infinity" in unit


def test_the_station_runs_under_the_units_system_call_filter(tmp_path: Path) -> None:
    demo = Demo(DemoOptions(parts=12, cameras=1, lead_s=8.0), tmp_path)
    with demo.running():
        demo.daemon.send_signal(signal.SIGKILL)
        demo.daemon.wait()
        station = str(tmp_path / "station.toml")
        command = [sys.executable, str(ROOT / "tests" / "support" / "sandbox.py"), str(UNIT), sys.executable]
        with (tmp_path / "daemon.log").open("w") as log:
            demo.daemon = subprocess.Popen([*command, "-m", "edge_inspector", "run", station], stderr=log)
        demo.play()
        with urllib.request.urlopen(f"http://127.0.0.1:{demo.ports['web']}/api/health", timeout=5) as answer:
            health = json.loads(answer.read())
        report = demo.finish()
    codes = {each["code"] for each in health["conditions"]}
    assert codes <= {"parts_not_inspected", "line_blind", "pictures_unguarded"}, "see below"
    assert "Operation not permitted" not in (tmp_path / "daemon.log").read_text()
    assert report["verdicts"] == 12
    assert report["not_inspected"] < 6, "on a busy machine some come late; under a filter too tight none is inspected"
    assert report["daemon_exit_code"] == 0
