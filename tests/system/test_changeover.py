"""The product changes to one with another model and back while parts pass, and nothing is restarted."""

import json
import re
import shutil
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.simulation.station_files import models_dir

pytestmark = pytest.mark.system

FIRST, SECOND = "tile-1.1", "plank-2.0"


class TwoModels(Demo):
    """Recipe 2 has another model. It is the same net under another name, and its classes have other names."""

    def __init__(self, folder: Path, preload_mb: int) -> None:
        self.preload_mb = preload_mb
        super().__init__(DemoOptions(cameras=1, speed_mm_s=1600.0, model=FIRST), folder)

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station, recipe, models = (self.folder / name for name in ("station.toml", "recipe.toml", "models"))
        shutil.copytree(models_dir() / FIRST, models / FIRST)
        shutil.copytree(models_dir() / FIRST, models / SECOND)
        manifest = models / SECOND / "manifest.toml"
        text = manifest.read_text().replace('name = "tile"\nversion = "1.1"', 'name = "plank"\nversion = "2.0"')
        for name in read_manifest(models / FIRST).classes:
            text = text.replace(f'"{name}"', f'"wood-{name}"').replace(f"limits.{name}]", f"limits.wood-{name}]")
        manifest.write_text(text)
        text = recipe.read_text().replace("id = 1\n", "id = 2\n").replace(FIRST, SECOND)
        (self.folder / "second.toml").write_text(text.replace("[classes.", "[classes.wood-"))
        text = station.read_text().replace('"recipe.toml"', '"recipe.toml"\nrecipes = ["second.toml"]')
        text = re.sub('models_dir = ".*"', 'models_dir = "models"', text)
        station.write_text(text.replace("[segmenter]", f"[segmenter]\npreload_mb = {self.preload_mb}"))

    def choose(self, recipe_id: int) -> None:
        draft = self.folder / "panel.new"
        draft.write_text(json.dumps({"recipe_id": recipe_id, "control": 0b101}))
        draft.replace(self.folder / "panel.json")

    def wait_for(self, recipe_id: int, count: int = 3) -> None:
        """Until so many parts of this product were inspected."""
        until = time.monotonic() + 60
        while sum(is_inspected(body) and body["recipe_id"] == recipe_id for body in self.recorder.verdicts()) < count:
            assert time.monotonic() < until
            time.sleep(0.1)


def is_inspected(body: dict[str, Any]) -> bool:
    return bool(body["decision"] != "NOT_INSPECTED")


def test_every_part_is_judged_by_the_model_of_its_product(tmp_path: Path) -> None:
    """No memory for both: the way there has a gap that is told. On the way back the first model is still open."""
    demo = TwoModels(tmp_path, preload_mb=0)
    with demo.running():
        demo.choose(1)
        demo.wait_for(1)
        demo.choose(2)
        demo.wait_for(2)
        before = sum(is_inspected(body) and body["recipe_id"] == 1 for body in demo.recorder.verdicts())
        demo.choose(1)
        demo.wait_for(1, before + 3)
        demo.plc.send_signal(signal.SIGUSR1)  # no more parts
        time.sleep(demo.line.gate_mm / demo.line.speed_mm_s + 0.5)
        report = demo.finish()
        bodies = {(body["plc_boot_id"], body["part_seq"]): body for body in demo.recorder.verdicts()}

    assert (report["unaccounted"], report["duplicates"], report["gate_wrong_part"]) == (0, 0, 0)
    in_order = [bodies[key] for key in sorted(bodies)]
    recipes = [body["recipe_id"] for body in in_order]
    assert [pair for pair in pairwise(recipes) if len(set(pair)) == 2] == [(1, 2), (2, 1)]
    inspected = [body for body in in_order if is_inspected(body)]
    assert {body["recipe_id"] for body in inspected} == {1, 2}
    for body in in_order:
        second = body["recipe_id"] == 2
        assert body["model"].startswith(SECOND if second else FIRST)
        assert all(defect["defect_class"].startswith("wood-") is second for defect in body["defects"])
    # A fast machine opens the model before a part of the new product comes.
    assert {body["recipe_id"] for body in in_order if body["reason"] == "changing"} <= {2}
    assert "recipe_changing (E610) plank-2.0" in (tmp_path / "daemon.log").read_text()
    told = [
        event["recipe_id"] for event in read_ledger(demo.ledger) if event["kind"] == "recipe" and event["recipe_id"]
    ]
    assert told == [1, 2, 1], "the PLC reads the recipe in force"
