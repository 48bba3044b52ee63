"""Models and recipes are what somebody trusted has signed, to the last byte."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.page import station_files

from edge_inspector.cli import main
from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.station.edits import CHALLENGE, fingerprint_of, put_in_force
from edge_inspector.station.load import load_station
from edge_inspector.store import signatures
from edge_inspector.store.signatures import is_public_key, new_key, objection, sign, signature_path

pytest.importorskip("cryptography")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tile-1.1"
    (folder / "more").mkdir(parents=True)
    (folder / "manifest.toml").write_text("a = 1\n")
    (folder / "more" / "net.onnx").write_bytes(b"\x00\x01")
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "recipe.toml").write_text("id = 1\n")
    return tmp_path / "recipe.toml"


@pytest.fixture
def key(tmp_path: Path) -> str:
    return new_key(tmp_path / "release.key")


def test_what_was_signed_is_trusted(tmp_path: Path, model: Path, recipe: Path, key: str) -> None:
    for signed in (model, recipe):
        assert objection(signed, [key]) == "is not signed"
        assert sign(signed, tmp_path / "release.key") == key
        assert objection(signed, [key]) == ""


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": lambda model: (model / "more" / "net.onnx").write_bytes(b"\x00\x02"),
    "a file more": lambda model: (model / "weights.bin").write_bytes(b""),
    "a file less": lambda model: (model / "manifest.toml").unlink(),
    "another name": lambda model: (model / "manifest.toml").rename(model / "other.toml"),
    "a link": lambda model: (model / "link").symlink_to("/etc/passwd"),
    "files by hand": lambda model: change(model, lambda content: content["files"].popitem()),
    "the signature": lambda model: change(
        model, lambda content: content.update(signature=base64.b64encode(bytes(64)).decode())
    ),
    "no signature": lambda model: change(model, lambda content: content.pop("signature")),
    "nonsense": lambda model: signature_path(model).write_text("[" * 100_000),
    "a huge file": lambda model: signature_path(model).write_bytes(b" " * (1 << 21)),
}


def change(model: Path, how: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(signature_path(model).read_text())
    how(content)
    signature_path(model).write_text(json.dumps(content))


@pytest.mark.parametrize("what", CHANGES)
def test_any_change_is_found(tmp_path: Path, model: Path, key: str, what: str) -> None:
    sign(model, tmp_path / "release.key")
    CHANGES[what](model)
    assert objection(model, [key])


def test_hashes_that_were_adapted_by_hand_are_found(tmp_path: Path, model: Path, key: str) -> None:
    sign(model, tmp_path / "release.key")
    (model / "manifest.toml").write_text("a = 2\n")
    change(model, lambda content: content.update(files=signatures._hashes(model)))
    assert objection(model, [key]) == "its signature is not valid"


def test_another_key_is_not_trusted(tmp_path: Path, model: Path, key: str) -> None:
    new_key(tmp_path / "other.key")
    sign(model, tmp_path / "other.key")
    assert "not among the trusted ones" in objection(model, [key])


def test_a_signed_recipe_cannot_take_the_place_of_another(tmp_path: Path, recipe: Path, key: str) -> None:
    sign(recipe, tmp_path / "release.key")
    other = Path(shutil.copy(recipe, tmp_path / "strict.toml"))
    shutil.copy(signature_path(recipe), signature_path(other))
    assert objection(other, [key])


def test_a_private_key_is_for_its_owner_and_is_never_overwritten(tmp_path: Path, key: str) -> None:
    assert (tmp_path / "release.key").stat().st_mode & 0o777 == 0o600
    assert is_public_key(key)
    with pytest.raises(DeviceError, match="cannot be written"):
        new_key(tmp_path / "release.key")


@pytest.mark.parametrize("text", ["", "nonsense", "AAAA", "\n"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, recipe: Path, text: str) -> None:
    (tmp_path / "bad.key").write_text(text)
    with pytest.raises(ConfigError, match="is no key"):
        sign(recipe, tmp_path / "bad.key")
    assert not is_public_key(text)


def test_the_command_makes_a_key_and_signs(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign", "--new", "--key", str(tmp_path / "k"), str(model)]) == 0
    told = capsys.readouterr().out
    key = told.split('"')[1]
    assert objection(model, [key]) == ""
    assert main(["sign", "--key", str(tmp_path / "k"), str(tmp_path / "missing")]) == 2
    assert main(["sign", "--key", str(tmp_path / "k")]) == 2


def trusting(folder: Path, key: str, policy: str) -> Path:
    """A station with two recipes and a simulated model, which has no files, and this key."""
    path = station_files(folder)
    path.write_text(f'{path.read_text()}\n[trust]\nkeys = ["{key}"]\npolicy = "{policy}"\n')
    return path


def test_a_station_refuses_what_nobody_has_signed(tmp_path: Path, key: str) -> None:
    path = trusting(tmp_path, key, "refuse")
    sign(tmp_path / "recipe.toml", tmp_path / "release.key")
    with pytest.raises(ConfigError, match=r"other\.toml: is not signed") as refused:
        load_station(path)
    assert len(refused.value.faults) == 1
    sign(tmp_path / "other.toml", tmp_path / "release.key")
    assert load_station(path).untrusted == ()


def test_a_station_that_only_warns_says_what_it_runs_with(tmp_path: Path, key: str) -> None:
    path = trusting(tmp_path, key, "warn")
    sign(tmp_path / "recipe.toml", tmp_path / "release.key")
    (what,) = load_station(path).untrusted
    assert "other.toml: is not signed" in what


def test_a_version_of_the_page_does_not_judge_where_signatures_are_demanded(tmp_path: Path, key: str) -> None:
    path = trusting(tmp_path, key, "refuse")
    for name in ("recipe.toml", "other.toml"):
        sign(tmp_path / name, tmp_path / "release.key")
    before = load_station(path).recipe
    state = load_station(path).state_dir
    state.mkdir()
    put_in_force(state, 1, before.fingerprint, version=1, changes={"review_band": [0.1, 0.9]})
    base = fingerprint_of(load_station(path).written_challenge)
    put_in_force(state, CHALLENGE, base, version=1, changes={"timeout_s": 7})
    station = load_station(path)
    assert station.recipe == before
    assert station.file.challenge.timeout_s == 120
    assert "is not signed, so the file's version judges" in station.untrusted[0]
    path.write_text(path.read_text().replace('policy = "refuse"', 'policy = "warn"'))
    station = load_station(path)
    assert station.recipe != before
    assert station.file.challenge.timeout_s == 7
    assert "judges all the same" in station.untrusted[0]


def test_a_wrong_key_in_the_station_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="44 characters of base64"):
        load_station(trusting(tmp_path, "nonsense", "refuse"))
