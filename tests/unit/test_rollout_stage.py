"""The thread that waits for a stop: it never changes while a part is there, and goes back by itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.rollout_stations import Works
from support.verdicts import verdict

from edge_inspector.codes import Decision, ErrorCode, StationState
from edge_inspector.records import OpenPart, Scene, StationStatus
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.stages import rollout
from edge_inspector.stages.rollout import Rollout
from edge_inspector.station.load import load_station
from edge_inspector.store.ledger import Bounds, RolloutStep, Trial
from edge_inspector.store.package import digest_of, pack
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.watches.announcing import FrameParts
from edge_inspector.watches.rollout_desk import RolloutDesk, RolloutOrder
from edge_inspector.watches.rollout_told import RolloutTeller
from edge_inspector.watches.shadow import ShadowTally

pytest.importorskip("cryptography")
pytest.importorskip("onnxruntime", reason="the extra `cpu` is not installed")


@dataclass
class Line:
    """What the stage sees of the line. A test may change it at any time."""

    desk: RolloutDesk
    path: Path
    decided: int = 0
    parts: tuple[OpenPart, ...] = ()
    challenged: bool = False
    left: int = 0
    calls: FrameParts = field(default_factory=lambda: FrameParts(1, lambda _: None, on_call=True))
    tally: ShadowTally = field(default_factory=ShadowTally)
    kept: list[Any] = field(default_factory=list)
    conditions: Conditions = field(default_factory=Conditions)

    def stage(self) -> Rollout:
        def leave() -> None:
            self.left += 1

        return Rollout(
            self.desk,
            results=results_path(self.path.parent / "state"),
            quiet_s=0.5,
            tally=self.tally,
            status=lambda: StationStatus(StationState.READY, ErrorCode.NONE, 1, parts=self.decided),
            scene=lambda: Scene(self.parts, ()),
            challenged=lambda: self.challenged,
            hold=self.calls.hold,
            release=self.calls.release,
            keep=self.kept.append,
            leave=leave,
            teller=RolloutTeller(self.desk, self.conditions, stop_within_s=3600.0),
        )

    def trial(self) -> Trial:
        assert self.desk.ledger.trial is not None
        return self.desk.ledger.trial


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    for name in ("_LOOK_S", "_SHOWS_S", "_COUNT_S", "_KEEP_S"):
        monkeypatch.setattr(rollout, name, 0.0)
    monkeypatch.setattr(rollout, "go_behind", lambda: None)
    works = Works(tmp_path, broker=1883)
    path = works.station("line-1", works.model("1.0"), works.recipe(1))
    desk, package = RolloutDesk(load_station(path)), pack(works.model("1.1"))
    desk.take(package)
    bounds = Bounds(pictures=4, found_pictures=1, parts=4, reject_rise_max=0.25)
    desk.order(RolloutOrder(id="r", order="shadow", digest=digest_of(package), bounds=bounds), "ann")
    return Line(desk, path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes only when a test lets it."""
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def judged(line: Line, *decisions: Decision) -> None:
    """Parts in the results of the station."""
    writer = ResultsWriter(results_path(line.path.parent / "state"))
    now = time.monotonic_ns()
    first = line.decided + 1
    told = [verdict(first + at, each, decided_ns=now) for at, each in enumerate(decisions)]
    writer.add([StoredVerdict(each, utc_of(now), "", {}) for each in told], [])
    writer.close()
    line.decided += len(decisions)


def test_it_changes_only_when_the_line_stands(line: Line, clock: Callable[[float], None]) -> None:
    stage = line.stage()
    stage.start()
    stage.step()
    clock(0.4)
    line.decided += 1
    stage.step()
    clock(0.4)
    stage.step()
    assert line.left == 0, "a part was decided within the time"
    line.parts = (OpenPart(verdict(3).part, ()),)
    clock(9.0)
    stage.step()
    assert line.left == 0, "a part is on the belt"
    line.parts, line.challenged = (), True
    stage.step()
    clock(9.0)
    stage.step()
    assert line.left == 0, "a challenge runs"
    line.challenged = False
    clock(0.6)
    stage.step()
    assert (line.left, line.trial().step) == (1, RolloutStep.SHADOW)
    stage.step()
    assert line.left == 1
    assert "restarts in a moment" in line.calls.call("part")


def test_a_call_in_the_last_moment_is_not_lost(line: Line, clock: Callable[[float], None]) -> None:
    stage = line.stage()
    stage.start()
    stage.step()
    assert line.calls.call("part") == ""
    clock(9.0)
    stage.step()
    assert (line.left, line.trial().step) == (0, RolloutStep.WAITS)
    assert line.calls.call("another") == "", "calls are taken again"


def begun(line: Line, clock: Callable[[float], None], step: RolloutStep) -> Rollout:
    """The stage after the restart in this step."""
    line.desk.note(wanted=step)
    stage = line.stage()
    stage.step()
    clock(9.0)
    stage.step()
    line.desk = RolloutDesk(load_station(line.path))
    stage = line.stage()
    stage.start()
    assert line.trial().step is step
    return stage


def test_the_shadow_passes(line: Line, clock: Callable[[float], None]) -> None:
    stage = begun(line, clock, RolloutStep.SHADOW)
    line.tally.accepted, line.tally.rejected = 2, 1
    stage.step()
    assert not line.trial().passed
    assert line.trial().counts.accepted == 2
    stage.stop(failed=False)
    line.tally = ShadowTally(accepted=1)
    line.desk = RolloutDesk(load_station(line.path))
    stage = line.stage()
    stage.step()
    assert line.trial().passed, "pictures of before the restart count, too"


def test_the_shadow_goes_back(line: Line, clock: Callable[[float], None]) -> None:
    stage = begun(line, clock, RolloutStep.SHADOW)
    line.tally.missed = 1
    stage.step()
    assert line.trial().wanted is RolloutStep.BACK
    assert [(each.who, each.what, each.before) for each in line.kept] == [("station", "rollout watch", "mean-1.1")]
    clock(9.0)
    stage.step()
    assert line.desk.ledger.trial is None
    assert line.left == 2


def test_many_rejects_bring_it_back_and_few_do_not(line: Line, clock: Callable[[float], None]) -> None:
    judged(line, Decision.REJECT, Decision.ACCEPT, Decision.ACCEPT, Decision.ACCEPT)
    stage = begun(line, clock, RolloutStep.JUDGES)
    assert line.trial().rate_before == 0.25
    judged(line, Decision.ACCEPT, Decision.REJECT, Decision.NOT_INSPECTED)
    stage.step()
    assert (line.trial().passed, line.trial().wanted) == (False, None)
    judged(line, Decision.ACCEPT)
    clock(0.1)
    stage.step()
    assert line.trial().passed
    judged(line, Decision.REJECT)
    clock(0.1)
    stage.step()
    assert line.trial().wanted is RolloutStep.BACK, "what has passed is watched until it is kept"
    assert "3 of 5 parts were not accepted" in line.trial().said
