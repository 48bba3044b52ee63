"""The state folder of a running station: one daemon, no clock that erases, and files that come back."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.line import ChaosLine
from edge_inspector.simulation.demo import free_port

pytestmark = pytest.mark.system

DAY_S = 86_400


@pytest.fixture
def line(tmp_path: Path) -> Iterator[ChaosLine]:
    before = os.umask(0)  # as a careless shell may have it
    try:
        running = ChaosLine(tmp_path.resolve(), seed=3)
        with running.running():
            assert running.wait_until(lambda: running.is_well() and running.has_history(), 60)
            yield running
    finally:
        os.umask(before)


def conditions(line: ChaosLine) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{line.ports['web']}/healthz", timeout=5) as answer:
        body: dict[str, Any] = json.loads(answer.read())
    return list(body["conditions"])


def test_a_second_daemon_on_the_same_folder_is_refused_before_it_touches_anything(line: ChaosLine) -> None:
    text = (line.folder / "station.toml").read_text()
    second = line.folder / "second.toml"
    second.write_text(re.sub(r"\[web\]\nport = \d+", f"[web]\nport = {free_port()}", text))
    command = [sys.executable, "-m", "edge_inspector", "run", str(second)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert refused.returncode == 1, "2 would keep systemd from trying again when the first one has ended"
    assert f"daemon.lock: another edge-inspector (pid {line.daemon.pid} on" in refused.stderr
    assert refused.stderr.rstrip().endswith("stop it, or give this station a state_dir of its own")
    assert "Traceback" not in refused.stderr
    assert line.is_well()
    with closing(sqlite3.connect(f"file:{line.folder}/state/results.sqlite?mode=ro", uri=True)) as db:
        assert db.execute("SELECT count(DISTINCT boot_id) FROM parts").fetchone() == (1,)
    files = [path for path in (line.folder / "state").rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"daemon.lock", "results.sqlite", "outbox.sqlite"}
    assert [path.name for path in files if path.stat().st_mode & 0o027] == [], "of no use to others"


def test_a_clock_a_year_ahead_for_some_seconds_costs_no_part(line: ChaosLine) -> None:
    if line.clock != "a preloaded clock_gettime":
        pytest.skip(line.clock)
    before = line.stored_parts()
    assert before
    line.step_clock(366 * DAY_S)
    assert line.wait_until(lambda: "clock_stepped clock" in conditions(line), 10)
    time.sleep(4.0)
    line.step_clock(0)
    assert line.wait_until(lambda: not conditions(line), 20)
    stored = line.stored_parts()
    assert stored is not None
    assert before <= stored
    assert "the clock was set 366 days ahead. Nothing is deleted by age" in (line.folder / "daemon.log").read_text()


def test_files_that_are_taken_away_are_told_and_what_is_judged_then_is_kept(line: ChaosLine) -> None:
    state = line.folder / "state"
    before = line.stored_parts()
    for path in list(state.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    expected = {"state_lost results", "state_lost broker", "state_lost lock"}
    assert line.wait_until(lambda: expected <= set(conditions(line)), 20), conditions(line)
    assert line.wait_until(line.has_history, 30)
    assert before is not None
    assert not before & (line.stored_parts() or set())
    assert {path.name for path in state.iterdir()} >= {"daemon.lock", "results.sqlite", "outbox.sqlite"}

    def all_told() -> bool:
        told = {(body["plc_boot_id"], body["part_seq"]) for body in line.recorder.verdicts()}
        return (line.stored_parts() or set()) <= told

    assert line.wait_until(all_told, 20), "the outbox works on"
