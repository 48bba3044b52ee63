"""A station without a model on the running line: the PLC says of parts what they are, and they are marked so."""

import csv
import json
import time
from pathlib import Path

import pytest

from edge_inspector.cli import main
from edge_inspector.plc.blocks import CONTROL_ENABLE, CONTROL_LINE_RUNNING, TRIGGER_BAD, TRIGGER_GOOD
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.rows import BY_PLC

pytestmark = pytest.mark.system

CALLED = {0: "", TRIGGER_GOOD: "good", TRIGGER_BAD: "defect", TRIGGER_GOOD | TRIGGER_BAD: ""}


class Switched(Demo):
    """Somebody turns a key at the PLC with every third part."""

    def play(self) -> None:
        for mark in (0, TRIGGER_GOOD, TRIGGER_BAD, TRIGGER_GOOD | TRIGGER_BAD):
            self.turn(mark)
            passed = self.passed()
            while self.passed() < passed + 3:
                self._check_daemon()
                time.sleep(0.05)
        super().play()

    def turn(self, mark: int) -> None:
        draft = self.folder / "panel.new"
        control = CONTROL_ENABLE | CONTROL_LINE_RUNNING
        draft.write_text(json.dumps({"recipe_id": 0, "control": control, "mark": mark}))
        draft.replace(self.folder / "panel.json")

    def passed(self) -> int:
        return sum(event["kind"] == "trigger" for event in read_ledger(self.ledger))


def test_parts_that_the_plc_knows_are_marked_while_pictures_are_collected(tmp_path: Path) -> None:
    demo = Switched(DemoOptions(parts=15, model_ms=5.0), tmp_path)
    demo.daemon_command = "collect"
    with demo.running():
        demo.play()
        report = demo.finish()
    assert report["unaccounted"] == 0
    events = [event for event in read_ledger(demo.ledger) if event["kind"] == "trigger"]
    marked = {event["part_seq"]: event.get("mark", 0) for event in events}
    assert set(marked.values()) == set(CALLED)
    results = Results(results_path(tmp_path / "state"))
    stories = [story for row in results.parts(limit=100) if (story := results.part(row.id)) is not None]
    assert {story.row.part_seq: story.called for story in stories} == {
        part: CALLED[mark] for part, mark in marked.items()
    }
    assert {label.user for story in stories for label in story.labels} == {BY_PLC}

    words = ["export", str(tmp_path / "station.toml"), "--format", "index", "--out", str(tmp_path / "pictures")]
    assert main(words) == 0
    with (tmp_path / "pictures" / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["by"] == BY_PLC]
    # Nobody has drawn the defects of the bad ones yet.
    said = {(row["image"].rpartition("-")[0], row["class"], row["note"]) for row in rows}
    assert {told[1:] for told in said} == {("good", ""), ("good", "a defect without class and mask")}
