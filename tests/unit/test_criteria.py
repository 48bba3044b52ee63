"""What judges is held against what judged before; a change is told until somebody gives RESET."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.records import Change, ModelInfo
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.watches.criteria import CriteriaWatch

MODEL = ModelInfo(
    "tile",
    "1.1",
    "ab" * 32,
    ("crack",),
    height=64,
    width=64,
    channels=3,
    stride=2,
    precision="int8",
    provider="cpu",
    runtime="onnxruntime 1.31",
)


class Run:
    """One run of the station."""

    def __init__(self, folder: Path, min_area_mm2: float = 3.0, model: ModelInfo = MODEL, number: int = 4) -> None:
        recipe = Recipe.model_validate(
            {
                "id": number,
                "name": "tile",
                "model": "tile-1.1",
                "views": ["left"],
                "part_length_mm": 100,
                "min_pitch_mm": 120,
                "position_tolerance_mm": 5,
            }
        )
        recipes = {number: Criteria(recipe, {"crack": ClassLimits(min_area_mm2=min_area_mm2)})}
        self.model = model
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.watch = CriteriaWatch(folder, Basis(recipes, lambda: self.model, {}), recipes, self.conditions)
        self.changes: list[Change] = []
        self.look()

    def look(self) -> bool:
        return self.watch.look(self.changes.append)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [
            (held.subject, held.why)
            for held in self.conditions.reasons()
            if held.code is ErrorCode.CRITERIA_CHANGED and held.until_reset
        ]

    def reset(self) -> None:
        self.conditions.reset()
        self.watch.acknowledge()


def test_the_first_run_has_nothing_to_compare_with_and_the_second_is_the_same(tmp_path: Path) -> None:
    assert Run(tmp_path).told == []
    again = Run(tmp_path)
    assert again.told == []
    assert again.conditions.state is StationState.READY
    assert Run(tmp_path, number=5).told == [], "another recipe has not judged before"


def test_a_change_is_told_with_what_it_is_and_the_station_stays_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Run(tmp_path)
    with caplog.at_level(logging.WARNING):
        run = Run(tmp_path, min_area_mm2=1e9)
    words = "limits.crack.min_area_mm2: 3 before, now 1e+09"
    assert run.told == [("recipe 4", words)]
    subject = "recipe 4 limits.crack.min_area_mm2"
    assert run.changes == [Change("files", "criteria", subject, before="3", after="1e+09")]
    assert f"recipe 4 is judged differently than before: {words}" in caplog.text
    assert run.conditions.state is StationState.READY


def test_it_is_told_again_at_each_start_until_somebody_has_seen_it(tmp_path: Path) -> None:
    Run(tmp_path)
    changed = Run(tmp_path, min_area_mm2=9.0).told
    second = Run(tmp_path, min_area_mm2=9.0)
    assert second.told == changed != []
    second.reset()
    assert second.told == []
    assert Run(tmp_path, min_area_mm2=9.0).told == []


def test_what_is_changed_back_is_a_change_too(tmp_path: Path) -> None:
    Run(tmp_path)
    Run(tmp_path, min_area_mm2=9.0)
    assert Run(tmp_path).told == [("recipe 4", "limits.crack.min_area_mm2: 9 before, now 3")]


def test_another_session_in_the_same_run_is_told_and_announced(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert not run.look()
    run.model = replace(MODEL)
    assert not run.look()
    run.model = replace(MODEL, provider="cuda", sha256="cd" * 32)
    assert run.look()
    ((subject, why),) = run.told
    assert subject == "recipe 4"
    assert "cuda" in why
    assert "cd" * 32 in why


def test_many_changes_are_told_in_few_words(tmp_path: Path) -> None:
    Run(tmp_path)
    kept = tmp_path / "criteria.json"
    table = json.loads(kept.read_text())
    table["4"]["basis"] = {f"old{number}": "x" for number in range(9)}
    kept.write_text(json.dumps(table))
    ((_, why),) = Run(tmp_path).told
    assert why.count(" before, now ") == 5
    assert "more in the log" in why


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"4": {}}', '{"4": {"basis": 3, "unseen": ""}}', '{"x": 1}', "[" * 10_000]
)
def test_a_damaged_record_is_told_and_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "criteria.json").write_text(content)
    ((subject, why),) = Run(tmp_path).told
    assert subject == "station"
    assert "the earlier recipe and model are not known" in why
    assert Run(tmp_path).told == []


def test_a_disk_that_does_not_take_it_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert Run(tmp_path / "nowhere").told == []
    assert "the record of recipe and model cannot be kept: No such file or directory" in caplog.text


def test_a_model_that_was_not_open_yet_is_compared_when_it_is(tmp_path: Path) -> None:
    Run(tmp_path)
    run = Run(tmp_path, model=replace(MODEL, provider="", precision="fp32"))
    assert run.told == [], "nobody knows yet what will run it"
    run.model = MODEL
    assert not run.look(), "it is as before, and the first that is compared"
    assert run.told == []
