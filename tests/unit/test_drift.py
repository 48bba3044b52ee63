"""Drift: the figures, the window, learning a reference, and the watch that warns."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verdicts import defect, placed, verdict

from edge_inspector import metrics
from edge_inspector.cli import main
from edge_inspector.codes import Decision, ErrorCode, StationState
from edge_inspector.errors import ConfigError
from edge_inspector.inspection.drift import (
    ENOUGH,
    DriftWindow,
    control_limits,
    distribution,
    psi,
)
from edge_inspector.inspection.reference import Distribution, Reference, read_reference, reference_path
from edge_inspector.records import ViewFigures
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.station.tables import DriftTable
from edge_inspector.store import audit
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.watches.drift import DriftWatch

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


@given(VALUES, VALUES)
def test_the_index_is_never_negative_and_nothing_for_the_same_values(first: list[float], second: list[float]) -> None:
    learnt = distribution("cam1", "brightness", first)
    assert sum(learnt.shares) == pytest.approx(1)
    assert psi(learnt, first) == pytest.approx(0, abs=1e-9) or min(learnt.shares) < 0.5 / len(first)
    assert psi(learnt, second) >= 0


def test_the_index_is_what_the_textbook_says() -> None:
    learnt = Distribution(subject="s", quantity="q", count=100, edges=[0.0], shares=[0.5, 0.5])
    found = psi(learnt, [-1.0] * 20 + [1.0] * 80)
    assert found == pytest.approx(-0.3 * math.log(0.2 / 0.5) + 0.3 * math.log(0.8 / 0.5))


def test_the_same_line_stays_below_a_tenth_and_a_shifted_one_goes_above_a_quarter() -> None:
    chance = np.random.default_rng(1)
    learnt = distribution("cam1", "brightness", chance.normal(100, 5, 5000).tolist())
    same = [psi(learnt, chance.normal(100, 5, 500).tolist()) for _ in range(50)]
    moved = [psi(learnt, chance.normal(104, 5, 500).tolist()) for _ in range(50)]
    assert max(same) < 0.1
    assert min(moved) > 0.25


def test_a_value_that_never_changed_is_a_distribution_too() -> None:
    learnt = distribution("cam1", "confidence", [0.0] * 300)
    assert psi(learnt, [0.0] * 200) == pytest.approx(0, abs=0.02)
    assert psi(learnt, [1e-9] * 200) == pytest.approx(0, abs=0.02), "above or equal is one bin"
    assert psi(learnt, [-1.0] * 200) > 1


@pytest.mark.parametrize(("rate", "count"), [(0.0, 1), (1.0, 5), (0.05, 200), (0.5, 100)])
def test_control_limits_enclose_the_rate_and_stay_shares(rate: float, count: int) -> None:
    low, high = control_limits(rate, 300, count)
    assert 0 <= low <= rate <= high <= 1


def test_control_limits_are_three_sigma() -> None:
    assert control_limits(0.1, 10**9, 900) == pytest.approx((0.07, 0.13), abs=1e-5)


def test_control_limits_know_that_a_reference_is_a_sample() -> None:
    assert control_limits(0.1, 900, 900) == pytest.approx((0.1 - 0.03 * 2**0.5, 0.1 + 0.03 * 2**0.5))
    low, high = control_limits(0.0, 200, 200)
    assert low == 0
    assert 1 / 200 < high < 5 / 200, "one rejected part after a shift without any is chance"


def reference(rate: float = 0.1) -> Reference:
    values = np.random.default_rng(2).normal(100, 5, 2000).tolist()
    return Reference(
        recipe_id=3,
        since_utc=NOON,
        until_utc=NOON,
        parts=2000,
        reject_rate=rate,
        distributions=[distribution("cam1", "brightness", values), distribution("crack", "area", values)],
    )


def test_a_window_waits_for_enough_and_forgets_the_oldest() -> None:
    window = DriftWindow(reference(), ENOUGH)
    window.add("cam9", "brightness", 1.0)
    window.add("cam1", "colour", 1.0)
    for _ in range(ENOUGH - 1):
        window.add("cam1", "brightness", 300.0)
        window.add_part(rejected=True)
    assert window.drift() == {}
    assert window.reject_rate() is None
    window.add("cam1", "brightness", 300.0)
    window.add_part(rejected=True)
    assert window.drift()["cam1", "brightness"] > 1
    chart = window.reject_rate()
    assert chart is not None
    assert (chart.rate, chart.in_control) == (1.0, False)
    for value in np.random.default_rng(3).normal(100, 5, ENOUGH):
        window.add("cam1", "brightness", value)
        window.add_part(rejected=len(window._rejected) == 0)
    assert window.drift()["cam1", "brightness"] < 0.25
    chart = window.reject_rate()
    assert chart is not None
    assert not chart.in_control, "nothing rejected is out of control too"


BROKEN = [
    {"shares": [0.5]},
    {"shares": [0.5, 0.6]},
    {"edges": [1.0, 0.0], "shares": [0.2, 0.3, 0.5]},
    {"edges": [float("nan")]},
    {"count": 0},
    {"more": 1},
]


@pytest.mark.parametrize("change", BROKEN)
def test_a_reference_that_makes_no_sense_is_refused_with_its_place(tmp_path: Path, change: dict[str, Any]) -> None:
    good = {"subject": "cam1", "quantity": "brightness", "count": 5, "edges": [0.0], "shares": [0.5, 0.5]}
    body = json.loads(reference().model_dump_json()) | {"distributions": [good | change]}
    (tmp_path / "r.json").write_text(json.dumps(body))
    with pytest.raises(ConfigError, match="distributions"):
        read_reference(tmp_path / "r.json")


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        read_reference(tmp_path / "none.json")
    (tmp_path / "r.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match=r"r\.json"):
        read_reference(tmp_path / "r.json")


class Line:
    """A station's state with a store that parts can be put into."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.watch = DriftWatch(state, DriftTable(window_parts=ENOUGH), self.conditions)
        self.seq = 0
        self.chance = np.random.default_rng(4)

    def parts(self, count: int, brightness: float = 100.0, rejects: float = 0.1) -> list[StoredVerdict]:
        made = []
        for _ in range(count):
            self.seq += 1
            decision = Decision.REJECT if self.chance.random() < rejects else Decision.ACCEPT
            seen = ViewFigures(float(self.chance.normal(brightness, 5)), 50.0, 0.1)
            defects = [defect()] if decision is Decision.REJECT else []
            views = (placed(frame_id=self.seq, defects=defects, figures=seen),)
            utc = NOON + timedelta(seconds=self.seq)
            made.append(StoredVerdict(verdict(self.seq, decision, views=views), utc, "", {}))
        return made

    def run(self, entries: list[StoredVerdict]) -> None:
        for entry in entries:
            self.watch.add(entry.verdict)
        self.watch.look()

    def warned(self, subject: str) -> bool:
        return self.conditions.held(ErrorCode.DRIFT, subject)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    writer = ResultsWriter(results_path(tmp_path))
    writer.add(made.parts(1000), [])
    writer.close()
    yield made
    metrics.drift_psi.clear()


def test_a_line_is_learnt_watched_warned_of_and_calms_down(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    line.run(line.parts(ENOUGH, brightness=150))
    assert line.conditions.snapshot() == [], "nothing to compare with"

    assert main(["reference", str(line.state)]) == 0
    told = capsys.readouterr().out
    assert "recipe 3: 1000 parts" in told
    assert "cam1 brightness" in told
    learnt = read_reference(reference_path(line.state, 3))
    assert {(each.subject, each.quantity) for each in learnt.distributions} == {
        ("cam1", "brightness"),
        ("cam1", "confidence"),
        ("cam1", "sharpness"),
    }, "a hundred cracks are not enough"

    line.watch.look()
    line.run(line.parts(ENOUGH))
    assert line.conditions.snapshot() == []
    line.run(line.parts(ENOUGH, brightness=115))
    assert line.warned("cam1 brightness")
    assert not line.warned("cam1 sharpness")
    assert line.conditions.state is StationState.READY, "a warning only"
    assert metrics.drift_psi.labels("cam1", "brightness")._value.get() > 0.25
    line.run(line.parts(ENOUGH))
    assert line.conditions.snapshot() == []


def test_a_reject_rate_beyond_chance_is_warned_of(line: Line) -> None:
    assert main(["reference", str(line.state)]) == 0
    line.run(line.parts(ENOUGH, rejects=0.4))
    assert line.warned("reject rate")
    assert metrics.reject_rate._value.get() > metrics.reject_rate_high._value.get()
    line.run(line.parts(ENOUGH, rejects=0.1))
    assert not line.warned("reject rate")


def test_what_was_not_inspected_and_other_recipes_do_not_count(line: Line) -> None:
    assert main(["reference", str(line.state)]) == 0
    line.run(line.parts(1))
    for entry in line.parts(ENOUGH, brightness=200):
        line.watch.add(verdict(entry.verdict.seq, Decision.NOT_INSPECTED, views=entry.verdict.views))
    line.watch.look()
    assert line.conditions.snapshot() == []
    line.run(line.parts(ENOUGH, brightness=200))
    assert line.warned("cam1 brightness")
    line.watch.add(verdict(1, recipe_id=4))
    assert line.conditions.snapshot() == [], "another recipe begins without warnings"


def test_a_broken_reference_is_said_once_and_nothing_is_watched(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    reference_path(line.state, 3).write_text("{}")
    for _ in range(3):
        line.run(line.parts(ENOUGH, brightness=200))
    assert caplog.text.count("no drift watch") == 1
    assert line.conditions.snapshot() == []
    assert main(["reference", str(line.state), "--recipe", "3"]) == 0
    line.watch.look()
    line.run(line.parts(ENOUGH, brightness=200))
    assert line.warned("cam1 brightness")


def test_too_few_parts_make_no_reference(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", str(line.state), "--recipe", "9"]) == 1
    assert "0 inspected parts of recipe 9" in capsys.readouterr().err
    assert main(["reference", str(line.state), "--to", "2026-11-21T12:01:40"]) == 1
    assert "99 inspected parts" in capsys.readouterr().err
    assert not reference_path(line.state, 3).exists()


def test_a_span_of_good_parts_can_be_chosen(line: Line) -> None:
    assert main(["reference", str(line.state), "--from", "2026-11-21T12:05"]) == 0
    assert read_reference(reference_path(line.state, 3)).parts == 701


def test_a_new_reference_is_a_change_that_is_written_down(line: Line) -> None:
    assert main(["reference", str(line.state)]) == 0
    assert main(["reference", str(line.state)]) == 0
    (first, second) = (entry.change for entry in audit.read(line.state))
    assert (first.what, first.subject, first.before) == ("reference", "recipe 3", "none")
    assert (second.before, second.after) == ("another one", "1000 parts, 10.0% rejected")
