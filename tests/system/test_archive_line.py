"""The store on the running line: it holds what the PLC was told, whatever happens to the disk or the daemon."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.rows import PartRow

pytestmark = pytest.mark.system

Told = dict[int, tuple[int, int]]


FULL_DISK = """
mount -t tmpfs -o size=8m none "$1/state" || exit 77
"$2" -c "$3" "$1" > "$1/demo.log" 2>&1
cp "$1/state/"results.sqlite* "$1/kept/"
"""
RUN = """
import json, sys, threading, time
from pathlib import Path
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.store.results import Results
folder = Path(sys.argv[1])
demo = Demo(DemoOptions(parts=40, model_ms=5.0), folder)
def fill():
    while len(Results(folder / "state" / "results.sqlite").parts(limit=5)) < 5:
        time.sleep(0.05)
    try:
        with (folder / "state" / "ballast").open("wb", buffering=0) as ballast:
            for size in (65536, 1024):
                while ballast.write(bytes(size)) == size:
                    pass
    except OSError:
        pass
with demo.running():
    threading.Thread(target=fill, daemon=True).start()
    demo.play()
    (folder / "report.json").write_text(json.dumps(demo.finish()))
"""


def run(folder: Path, **options: Any) -> dict[str, Any]:
    demo = Demo(DemoOptions(model_ms=5.0, **options), folder)
    with demo.running():
        demo.play()
        return demo.finish()


def told_to_the_plc(folder: Path) -> Told:
    """Decision and reason by the part's number."""
    events = [event for event in read_ledger(folder / "ledger.jsonl") if event["kind"] == "verdict"]
    return {event["part_seq"]: (event["decision"], event["reason"]) for event in events if event["how"] != "duplicate"}


def in_the_store(rows: list[PartRow]) -> Told:
    return {row.part_seq: (int(row.decision), int(row.reason)) for row in rows}


def test_the_store_holds_what_the_plc_was_told_and_when(tmp_path: Path) -> None:
    report = run(tmp_path, parts=60)
    assert report["unaccounted"] == 0
    results = Results(results_path(tmp_path / "state"))
    rows = results.parts(limit=1000)
    assert len(rows) == report["parts_triggered"] == 60
    assert in_the_store(rows) == told_to_the_plc(tmp_path)
    stories = [results.part(row.id) for row in rows]
    assert all(story is not None for story in stories)
    delivered = [{each.link for each in story.deliveries} for story in stories if story is not None]
    assert delivered == [{"plc", "broker"}] * 60
    kept = [row for row in rows if row.rejects and row.picture is not None]
    assert kept, "pictures of what was rejected"


def test_a_killed_daemon_leaves_a_sound_store_and_the_next_one_goes_on(tmp_path: Path) -> None:
    run(tmp_path, parts=90, kills=("daemon@9",))
    with closing(sqlite3.connect(results_path(tmp_path / "state"))) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    rows = Results(results_path(tmp_path / "state")).parts(limit=1000)
    assert len({row.boot_id for row in rows}) == 2
    told, stored = told_to_the_plc(tmp_path), in_the_store(rows)
    # What the first run had decided in its last half second may not have been written, or not been told: a few parts.
    assert len({part for part in stored if part in told and stored[part] != told[part]}) <= 5
    assert len(told.keys() - stored.keys()) <= 5


def test_a_full_disk_costs_history_never_a_verdict(tmp_path: Path) -> None:
    for name in ("state", "kept"):
        (tmp_path / name).mkdir()
    (tmp_path / "full.sh").write_text(FULL_DISK)
    done = subprocess.run(
        ["unshare", "-rm", "sh", str(tmp_path / "full.sh"), str(tmp_path), sys.executable, RUN],
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode == 77 or not (tmp_path / "demo.log").exists():
        pytest.skip("this user may not mount a tmpfs of its own here")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["parts_triggered"] > 10
    assert report["unaccounted_plc"] == report["unaccounted_mqtt"] == 0
    assert report["duplicates"] == 0
    log = (tmp_path / "daemon.log").read_text()
    assert "archive_incomplete (E701) results" in log, "the disk must have been full"
    assert "the outbox cannot use the disk" in log
    assert "worker archive failed" not in log
    assert log.count("broker_lost") <= 2, "the connection is not to blame for the disk"
    stored = in_the_store(Results(tmp_path / "kept" / "results.sqlite").parts(limit=1000))
    told = told_to_the_plc(tmp_path)
    assert 0 < len(stored) < len(told)
    assert stored == {part: told[part] for part in stored}
