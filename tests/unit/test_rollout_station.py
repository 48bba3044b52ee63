"""What a station does with what is sent to it: it takes the good, refuses the bad, and never loses what it had."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.rollout_stations import Works

from edge_inspector.errors import ConfigError
from edge_inspector.station.load import load_station
from edge_inspector.store.audit import read
from edge_inspector.store.ledger import Bounds, Ledger, RolloutStep, TrialCounts, count_start, read_ledger
from edge_inspector.store.package import digest_of, pack
from edge_inspector.store.signatures import sign
from edge_inspector.watches.rollout_checks import RolloutRefusedError
from edge_inspector.watches.rollout_desk import RolloutDesk, RolloutOrder, refuse_trial

pytest.importorskip("cryptography")
pytest.importorskip("onnxruntime", reason="the extra `cpu` is not installed")


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path, broker=1883)


@pytest.fixture
def path(works: Works) -> Path:
    return works.station("line-1", works.model("1.0"), works.recipe(1))


def order(what: Any, package: bytes, name: str = "r1", **bounds: Any) -> RolloutOrder:
    return RolloutOrder(id=name, order=what, digest=digest_of(package), bounds=Bounds(**bounds), why="better")


def changed(path: Path) -> RolloutDesk:
    """The station restarts at a stop."""
    desk = RolloutDesk(load_station(path))
    assert desk.change(after_id=7, rate_before=0.25) is not None
    return RolloutDesk(load_station(path))


def judges(path: Path) -> tuple[str, str]:
    """The model that would judge after a start, and the one that would look on."""
    station = load_station(path)
    infos = [station.segmenter.info, *([station.shadow.segmenter.info] if station.shadow is not None else [])]
    names = [f"{info.name}-{info.version}" for info in infos]
    return names[0], names[1] if len(names) > 1 else ""


def through(path: Path, package: bytes, name: str = "r1") -> None:
    """All steps, until it is kept."""
    desk = RolloutDesk(load_station(path))
    desk.take(package)
    desk.order(order("shadow", package, name), "ann")
    desk = changed(path)
    desk.note(passed=True)
    desk.order(order("judge", package, name), "ann")
    desk = changed(path)
    desk.note(passed=True)
    desk.order(order("keep", package, name), "ann")


def test_a_model_looks_on_then_judges_then_is_kept(works: Works, path: Path) -> None:
    package = pack(works.model("1.1"))
    desk = RolloutDesk(load_station(path))
    arrived = desk.take(package)
    assert (arrived.name, arrived.kind, desk.take(package)) == ("mean-1.1", "model", arrived)
    assert judges(path) == ("mean-1.0", "")
    assert desk.order(order("shadow", package), "ann") is not None
    assert desk.order(order("shadow", package), "ann") is None, "it was ordered already"
    assert load_station(path).shadow is None, "it waits for a stop"
    with pytest.raises(RolloutRefusedError, match="not passed as the shadow"):
        changed(path).order(order("judge", package), "ann")
    assert judges(path) == ("mean-1.0", "mean-1.1")

    desk = RolloutDesk(load_station(path))
    desk.note(passed=True, counts=TrialCounts(accepted=5))
    assert desk.order(order("judge", package), "ann") is not None
    desk = changed(path)
    assert judges(path) == ("mean-1.1", "mean-1.0")
    trial = desk.ledger.trial
    assert trial is not None
    assert (trial.step, trial.passed, trial.counts, trial.after_id, trial.rate_before) == (
        RolloutStep.JUDGES,
        False,
        TrialCounts(),
        7,
        0.25,
    )
    with pytest.raises(RolloutRefusedError, match="not passed here"):
        desk.order(order("keep", package), "ann")
    desk.note(passed=True)
    desk.order(order("keep", package), "ann")
    assert desk.order(order("keep", package), "ann") is None
    with pytest.raises(RolloutRefusedError, match="higher version"):
        desk.order(order("back", package), "ann")
    assert judges(path) == ("mean-1.1", "")
    trail = [(each.change.what, each.change.before, each.change.after) for each in read(path.parent / "state")]
    assert ("rollout model", "mean-1.0", "mean-1.1 (shadow)") in trail
    assert ("rollout model", "mean-1.1 (shadow)", "mean-1.1") in trail


def test_the_next_one_replaces_the_one_that_was_kept_and_the_file_wins(works: Works, path: Path) -> None:
    for version in ("1.1", "1.10"):
        through(path, pack(works.model(version)), f"r{version.replace('.', '-')}")
    assert judges(path) == ("mean-1.10", "")
    there = {each.name for each in (path.parent / "state" / "rollout" / "models").iterdir()}
    assert there == {"mean-1.1", "mean-1.10"}
    shutil.copytree(works.model("3.0"), path.parent / "models" / "mean-3.0")
    recipe = path.parent / "plate.toml"
    recipe.write_text(recipe.read_text().replace("mean-1.0", "mean-3.0"))
    sign(recipe, works.folder / "release.key")
    assert judges(path) == ("mean-3.0", "")


def test_a_roll_back_brings_what_was_there(works: Works, path: Path) -> None:
    package = pack(works.model("1.1"))
    desk = RolloutDesk(load_station(path))
    desk.take(package)
    desk.order(order("judge", package, pictures=0), "ann")
    desk = changed(path)
    assert judges(path) == ("mean-1.1", ""), "without a shadow before, there is none after"
    desk.note(wanted=RolloutStep.BACK, said="many rejects")
    desk = changed(path)
    assert judges(path) == ("mean-1.0", "")
    last = desk.ledger.last
    assert last is not None
    assert (last.step, last.said) == (RolloutStep.BACK, "many rejects")
    with pytest.raises(RolloutRefusedError, match="has gone back: many rejects"):
        desk.order(order("judge", package, pictures=0), "ann")
    desk.take(package)
    assert desk.order(order("judge", package, "r2", pictures=0), "ann") is not None, "somebody may try again"


def test_an_order_to_go_back_before_anything_has_changed(works: Works, path: Path) -> None:
    package = pack(works.model("1.1"))
    desk = RolloutDesk(load_station(path))
    assert desk.order(order("back", package), "ann") is None
    desk.take(package)
    desk.order(order("shadow", package), "ann")
    desk.order(order("back", package), "ann")
    assert desk.ledger.trial is None
    assert desk.change(after_id=0, rate_before=0) is None


def test_an_old_version_sent_again_is_refused(works: Works, path: Path) -> None:
    old, new = pack(works.model("1.1")), pack(works.model("1.2"))
    through(path, new)
    desk = RolloutDesk(load_station(path))
    with pytest.raises(RolloutRefusedError, match=r"version is 1\.1, and must be higher than 1\.2"):
        desk.take(old)
    with pytest.raises(RolloutRefusedError, match="at this station already"):
        desk.take(pack(works.folder / "releases" / "mean-1.2"))
    with pytest.raises(RolloutRefusedError, match="at this station already"):
        desk.take(pack(works.folder / "releases" / "mean-1.0"))
    assert read_ledger(path.parent / "state").newest == {"mean": (1, 2)}


def test_two_at_once_are_refused(works: Works, path: Path) -> None:
    package, other = pack(works.model("1.1")), pack(works.model("1.2"))
    desk = RolloutDesk(load_station(path))
    desk.take(package)
    desk.order(order("shadow", package), "ann")
    with pytest.raises(RolloutRefusedError, match=r"roll-out r1 of mean-1\.1 is under way"):
        desk.take(other)
    for what in ("shadow", "judge", "keep", "back"):
        with pytest.raises(RolloutRefusedError, match=r"roll-out r1 of mean-1\.1, ordered by ann, is under way"):
            desk.order(order(what, other, "r2"), "bob")


def test_what_does_not_fit_the_station_is_refused(works: Works, path: Path) -> None:
    desk = RolloutDesk(load_station(path))
    with pytest.raises(RolloutRefusedError, match="one model of the name other must judge here, and there is mean"):
        desk.take(pack(works.model("9.0", name="other")))
    classes = works.model("1.3")
    manifest = classes / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('["dark"]', '["dark", "light"]'))
    sign(classes, works.folder / "release.key")
    with pytest.raises(RolloutRefusedError, match="has other classes"):
        desk.take(pack(classes))
    wrong = works.model("1.4")
    (wrong / "model.int8.onnx").write_bytes(b"no net")
    sign(wrong, works.folder / "release.key")
    with pytest.raises(RolloutRefusedError, match="damaged or another file"):
        desk.take(pack(wrong))
    with pytest.raises(RolloutRefusedError, match="no package"):
        desk.take(b"PK\x03\x04")
    with pytest.raises(RolloutRefusedError, match="has not arrived"):
        desk.order(order("shadow", b"other"), "ann")
    assert not list((path.parent / "state" / "rollout" / "models").glob("*")), "nothing of it is left"
    assert desk.ledger == Ledger()


def test_a_recipe_of_a_lower_revision_or_another_id_is_refused(works: Works, path: Path) -> None:
    desk = RolloutDesk(load_station(path))
    with pytest.raises(RolloutRefusedError, match="revision is 0, and must be higher than 1"):
        desk.take(pack(works.recipe(0)))
    other = works.recipe(5)
    other.write_text(other.read_text().replace("id = 1", "id = 2"))
    sign(other, works.folder / "release.key")
    with pytest.raises(RolloutRefusedError, match="its id is 2, that of the recipe here is 1"):
        desk.take(pack(other))


def test_a_recipe_looks_on_with_its_limits_then_judges(works: Works, path: Path) -> None:
    limits = "[classes.dark]\nmin_area_mm2 = 9.0\n"
    package = pack(works.recipe(2, limits))
    desk = RolloutDesk(load_station(path))
    desk.take(package)
    desk.order(order("shadow", package), "ann")
    desk = changed(path)
    station = load_station(path)
    assert station.shadow is not None
    assert station.shadow.recipes[1].limits["dark"].min_area_mm2 == 9.0
    assert station.limits["dark"].min_area_mm2 == 100.0
    desk.note(passed=True)
    desk.order(order("judge", package), "ann")
    desk = changed(path)
    station = load_station(path)
    assert station.shadow is not None
    assert station.limits["dark"].min_area_mm2 == 9.0
    assert station.shadow.recipes[1].limits["dark"].min_area_mm2 == 100.0
    desk.note(passed=True)
    desk.order(order("keep", package), "ann")
    assert load_station(path).recipe.revision == 2
    recipe = path.parent / "plate.toml"
    recipe.write_text(recipe.read_text().replace("plate", "dish"))
    sign(recipe, works.folder / "release.key")
    assert load_station(path).recipe.name == "dish", "somebody who edits the file wins"


def test_a_station_that_accepts_nothing(works: Works, path: Path) -> None:
    through(path, pack(works.model("1.1")))
    path.write_text(path.read_text().replace("accept = true", "accept = false"))
    station = load_station(path)
    assert judges(path) == ("mean-1.0", ""), "the files count"
    desk = RolloutDesk(station)
    assert desk.status()["accepts"] is False
    with pytest.raises(RolloutRefusedError, match=r"rollout\.accept"):
        desk.take(pack(works.model("1.2")))
    with pytest.raises(RolloutRefusedError, match=r"rollout\.accept"):
        desk.order(order("back", b""), "ann")
    path.write_text(path.read_text().replace("accept = false", "accept = true").replace(works.key, ""))
    with pytest.raises(ConfigError):
        load_station(path)


def test_keys_are_needed(path: Path) -> None:
    text = path.read_text()
    keys = next(line for line in text.splitlines() if line.startswith("keys"))
    path.write_text(text.replace(keys, ""))
    with pytest.raises(ConfigError, match=r"rollout\.accept: needs trust\.keys"):
        load_station(path)


def test_files_that_were_changed_after_they_arrived_do_not_judge(works: Works, path: Path) -> None:
    through(path, pack(works.model("1.1")))
    manifest = path.parent / "state" / "rollout" / "models" / "mean-1.1" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("100.0", "9999.0"))
    with pytest.raises(ConfigError, match="has changed since it was signed"):
        load_station(path)


def test_a_trial_with_which_the_station_does_not_run_goes_back(works: Works, path: Path) -> None:
    package, state_dir = pack(works.model("1.1")), path.parent / "state"
    desk = RolloutDesk(load_station(path))
    desk.take(package)
    desk.order(order("judge", package, pictures=0), "ann")
    assert count_start(state_dir) == "", "nothing has changed yet"
    changed(path)
    for _ in range(3):
        assert count_start(state_dir) == ""
    why = count_start(state_dir)
    assert why == "the station ended 3 times out of order with it"
    assert refuse_trial(state_dir, why) is not None
    assert refuse_trial(state_dir, why) is None
    assert judges(path) == ("mean-1.0", "")
    last = read_ledger(state_dir).last
    assert last is not None
    assert (last.step, last.said) == (RolloutStep.BACK, why)


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"format": 2}', b'{"trial": {"step": "judges"}}'])
def test_a_damaged_ledger_is_nothing(works: Works, path: Path, damage: bytes) -> None:
    through(path, pack(works.model("1.1")))
    (path.parent / "state" / "rollout" / "ledger.json").write_bytes(damage)
    assert judges(path) == ("mean-1.0", ""), "the station's own files count"


def test_a_file_that_was_changed_during_a_trial_ends_it(works: Works, path: Path) -> None:
    package = pack(works.recipe(2))
    desk = RolloutDesk(load_station(path))
    desk.take(package)
    desk.order(order("judge", package, pictures=0), "ann")
    changed(path)
    recipe = path.parent / "plate.toml"
    recipe.write_text(recipe.read_text().replace("plate", "dish"))
    sign(recipe, works.folder / "release.key")
    desk = RolloutDesk(load_station(path))
    desk.refuse_void()
    last = desk.ledger.last
    assert last is not None
    assert "somebody has changed plate.toml" in last.said
    assert json.loads((path.parent / "state" / "rollout" / "ledger.json").read_text())["trial"] is None
