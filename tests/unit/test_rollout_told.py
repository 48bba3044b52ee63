"""A roll-out is told to everybody who watches the station: what is refused, what goes back, what waits, and how far."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.rollout_stations import Works

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.fleet.answers import health_of
from edge_inspector.fleet.roster import Known, Polled, Sighting
from edge_inspector.fleet.view import rows_of
from edge_inspector.mqtt.messages import state_message
from edge_inspector.records import Identity, StationStatus
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.station.load import load_station
from edge_inspector.store.ledger import Bounds, RolloutStep, read_ledger
from edge_inspector.store.package import digest_of, pack
from edge_inspector.watches.rollout_checks import RolloutRefusedError
from edge_inspector.watches.rollout_desk import RolloutDesk, RolloutOrder, refuse_trial
from edge_inspector.watches.rollout_told import RolloutTeller
from edge_inspector.web.health import health

pytest.importorskip("cryptography")
pytest.importorskip("onnxruntime", reason="the extra `cpu` is not installed")

STOP_WITHIN_S = 3600.0


class Told:
    """A station's desk, and what it tells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.desk = RolloutDesk(load_station(path))
        self.teller = RolloutTeller(self.desk, self.conditions, stop_within_s=STOP_WITHIN_S)

    def restarted(self) -> "Told":
        return Told(self.path)

    def codes(self) -> dict[ErrorCode, tuple[str, str]]:
        self.teller.look()
        return {each.code: (each.subject, each.why) for each in self.conditions.reasons()}

    def order(self, package: bytes, what: Any = "shadow") -> None:
        order = RolloutOrder(id="r1", order=what, digest=digest_of(package), bounds=Bounds(), why="better")
        self.desk.order(order, "ann")

    def changes(self) -> "Told":
        """The station restarts at a stop."""
        assert self.desk.change(after_id=0, rate_before=0.0) is not None
        return self.restarted()

    def healthz(self) -> dict[str, Any]:
        return health(self.conditions, {}, supervised=True, station="line-1", rollout=self.desk.told)[1]

    def state(self) -> dict[str, Any]:
        identity = Identity(
            station="line-1",
            boot_id=1,
            state_dir=self.path.parent,
            counts_per_mm=1.0,
            defect_classes=(),
            rollout=lambda: self.desk.told,
        )
        status = StationStatus(StationState.READY, ErrorCode.NONE, 1)
        return dict(json.loads(state_message(status, identity, utc_of(0)).model_dump_json()))


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path, broker=1883)


@pytest.fixture
def told(works: Works) -> Told:
    return Told(works.station("line-1", works.model("1.0"), works.recipe(1)))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes only when a test lets it."""
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


@pytest.fixture(autouse=True)
def _no_series_of_other_tests() -> None:
    metrics.rollout_since.clear()


def since_series() -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels[name] for name in ("package", "step", "wanted")): sample.value
        for family in metrics.rollout_since.collect()
        for sample in family.samples
    }


def test_without_a_roll_out_nothing_is_told(told: Told) -> None:
    assert told.codes() == {}
    assert "rollout" not in told.healthz()
    assert "rollout" not in told.state()


def test_each_step_is_told_to_page_metrics_broker_and_fleet(told: Told, works: Works) -> None:
    package = pack(works.model("1.1"))
    told.desk.take(package)
    told.order(package)
    assert told.codes() == {}
    step = told.healthz()["rollout"]
    assert (step["package"], step["step"], step["wanted"], step["why"]) == ("mean-1.1", "waits", "shadow", "")
    assert told.state()["rollout"] | {"since": ""} == step | {"since": ""}
    assert list(since_series()) == [("mean-1.1", "waits", "shadow")]
    before = step["since"]
    time.sleep(0.002)
    told = told.changes()
    told.teller.look()
    step = told.healthz()["rollout"]
    assert (step["step"], step["wanted"]) == ("shadow", "")
    assert step["since"] > before
    assert ("mean-1.1", "shadow", "") in since_series()
    row = fleet_row(told)
    assert row.rollout is not None
    assert (row.rollout.package, row.rollout.step) == ("mean-1.1", "shadow")


def fleet_row(told: Told) -> Any:
    body = json.dumps(told.healthz()).encode()
    seen = Sighting(
        known=Known(address="http://127.0.0.1:1"), reading=Polled().good(health_of(body), 0.0, 1), heard=None
    )
    return rows_of([seen], 2)[0]


def test_only_the_present_step_is_in_the_metric(told: Told, works: Works) -> None:
    package = pack(works.model("1.1"))
    told.desk.take(package)
    told.order(package)
    told.teller.look()
    told.order(package, "back")
    told.teller.look()
    assert list(since_series()) == [("mean-1.1", "back", "")]


def test_what_the_station_refuses_is_told_until_it_takes_one_or_somebody_has_seen_it(told: Told, works: Works) -> None:
    old = pack(works.model("0.9"))
    with pytest.raises(RolloutRefusedError):
        told.desk.take(old)
    assert "must be higher than 1.0" in told.codes()[ErrorCode.ROLLOUT_REFUSED][1]
    assert told.conditions.state is StationState.READY, "the PLC need not know of it"
    told.desk.take(pack(works.model("1.1")))
    assert told.codes() == {}
    with pytest.raises(RolloutRefusedError, match="this is no package"):
        told.desk.take(b"rubbish")
    assert ErrorCode.ROLLOUT_REFUSED in told.codes()
    told.conditions.reset()
    assert told.codes() == {}


def test_what_the_station_would_not_start_with_is_told(told: Told, works: Works) -> None:
    package = pack(works.recipe(2, "[classes.rust]\nmin_area_mm2 = 1.0\n"))
    told.desk.take(package)
    with pytest.raises(RolloutRefusedError, match="would not start"):
        told.order(package)
    assert "would not start with plate.toml" in told.codes()[ErrorCode.ROLLOUT_REFUSED][1]


def test_what_goes_back_by_itself_is_told_over_restarts_until_reset(told: Told, works: Works) -> None:
    package = pack(works.model("1.1"))
    told.desk.take(package)
    told.order(package)
    told = told.changes()
    told.desk.note(wanted=RolloutStep.BACK, said="many rejects", unseen=True)
    assert told.codes()[ErrorCode.ROLLOUT_BACK] == ("mean-1.1", "many rejects. It waits for a stop of the line")
    assert told.healthz()["rollout"]["why"] == "many rejects"
    told = told.changes()
    assert told.codes()[ErrorCode.ROLLOUT_BACK] == ("mean-1.1", "many rejects")
    told = told.restarted()
    told.conditions.reset()
    assert told.codes() == {}
    assert told.restarted().codes() == {}, "it is written down that somebody has seen it"
    assert told.healthz()["rollout"]["step"] == "back"


def test_a_start_that_failed_is_told_and_what_a_person_called_back_is_not(told: Told, works: Works) -> None:
    package = pack(works.model("1.1"))
    told.desk.take(package)
    told.order(package)
    told = told.changes()
    told.order(package, "back")
    assert told.codes() == {}
    told = told.changes()
    assert told.codes() == {}
    told.desk.take(package)
    order = RolloutOrder(id="r2", order="shadow", digest=digest_of(package), bounds=Bounds())
    told.desk.order(order, "ann")
    told.desk.change(after_id=0, rate_before=0.0)
    refuse_trial(told.path.parent / "state", "the station does not start with it: no")
    assert told.restarted().codes()[ErrorCode.ROLLOUT_BACK] == ("mean-1.1", "the station does not start with it: no")


def test_what_waits_for_a_stop_for_too_long_is_told(told: Told, works: Works, passes: Callable[[float], None]) -> None:
    package = pack(works.model("1.1"))
    told.desk.take(package)
    told.order(package)
    assert told.codes() == {}
    passes(STOP_WITHIN_S - 1)
    assert told.codes() == {}
    passes(2)
    assert told.codes() == {
        ErrorCode.ROLLOUT_WAITS: (
            "mean-1.1",
            "the line has not stood still for 1 h, and mean-1.1 waits to become shadow",
        )
    }
    told.order(package, "back")
    assert told.codes() == {}


@pytest.mark.parametrize("ahead_days", [-3650, 3650])
def test_a_clock_that_is_wrong_decides_nothing(
    told: Told, works: Works, monkeypatch: pytest.MonkeyPatch, ahead_days: int
) -> None:
    """The date is for people alone: a station whose clock is ahead, or was set, takes all steps as any other."""
    right = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + ahead_days * 86_400_000_000_000)
    package = pack(works.model("1.1"))
    told.desk.take(package)
    told.order(package)
    assert told.codes() == {}
    told = told.changes()
    monkeypatch.setattr(time, "time_ns", right)
    assert told.codes() == {}
    told.desk.note(passed=True)
    told.order(package, "judge")
    told = told.changes()
    told.desk.note(passed=True)
    told.order(package, "keep")
    last = read_ledger(told.path.parent / "state").last
    assert last is not None
    assert (last.step, told.codes()) == (RolloutStep.KEPT, {})


def test_a_ledger_of_an_earlier_version_has_no_date(told: Told, works: Works) -> None:
    package = pack(works.model("1.1"))
    told.desk.take(package)
    told.order(package)
    file = told.path.parent / "state" / "rollout" / "ledger.json"
    ledger = json.loads(file.read_text())
    del ledger["trial"]["since"], ledger["trial"]["unseen"]
    file.write_text(json.dumps(ledger))
    told = told.restarted()
    assert told.codes() == {}
    assert told.healthz()["rollout"]["since"] is None
