"""A release says who built it from what, is signed to the last byte, and can be built again."""

import hashlib
import json
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.cli import main
from edge_inspector.store.signatures import new_key

pytest.importorskip("cryptography")

ROOT = Path(__file__).parents[2]
COMMIT = "c0ffee" * 6 + "c0ff"


def module() -> Any:
    spec = spec_from_file_location("release", ROOT / "deploy" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def git(changed: str = "") -> Callable[..., str]:
    def answer(*words: str) -> str:
        if words[0] == "archive":
            Path(words[words.index("-o") + 1]).write_bytes(b"the source")
        return {"status": changed, "rev-parse": COMMIT}.get(words[0], "")

    return answer


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "sbom.json").write_text("{}")
    return new_key(tmp_path / "release.key")


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, changed: str = "", quick: bool = True) -> Any:
    release = module()
    monkeypatch.setattr(release, "git", git(changed))
    if quick:
        monkeypatch.setattr(release, "build", lambda folder: (folder / "x.whl").write_bytes(b"wheel"))
    files = ["--key", str(tmp_path / "release.key"), "--sbom", str(tmp_path / "sbom.json"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["release.py", *files, "--builder", "ann@bench"])
    assert release.main() == 0
    return release


def test_a_release_says_who_built_it_from_what_and_is_signed(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release = make(tmp_path, monkeypatch, quick=False)
    folder = tmp_path / release.NAME
    (wheel,) = folder.glob("*.whl")
    made = {each.name for each in folder.iterdir()}
    source = f"{release.NAME}.tar.gz"
    assert made == {wheel.name, source, "sbom.json", "requirements.txt", "provenance.json", "signed.json"}
    told = json.loads((folder / "provenance.json").read_text())
    for each in told["subject"]:
        assert each["digest"]["sha256"] == hashlib.sha256((folder / each["name"]).read_bytes()).hexdigest()
    assert {each["name"] for each in told["subject"]} == made - {"provenance.json", "signed.json"}
    assert told["predicate"]["runDetails"]["builder"]["id"].endswith(":ann@bench")
    (built_from,) = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert built_from["digest"] == {"gitCommit": COMMIT}
    assert main(["sign", "--check", key, str(folder)]) == 0
    assert "is as this key has signed it" in capsys.readouterr().out
    again = tmp_path / "again"
    again.mkdir()
    release.build(again)
    assert (again / wheel.name).read_bytes() == wheel.read_bytes(), "anybody can build it again and compare"


@pytest.mark.parametrize("name", ["x.whl", "sbom.json", "provenance.json", "requirements.txt"])
def test_a_release_with_another_file_is_told(
    name: str, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / make(tmp_path, monkeypatch).NAME
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert main(["sign", "--check", key, str(folder)]) == 1
    assert f"has changed since it was signed: {name}" in capsys.readouterr().out


def test_an_old_release_does_not_pass_for_a_new_one(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / make(tmp_path, monkeypatch).NAME
    newer = folder.rename(tmp_path / "edge-inspector-99.0")
    assert main(["sign", "--check", key, str(newer)]) == 1
    assert "its signature is not valid" in capsys.readouterr().out


def test_what_no_commit_has_is_not_released(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key
    with pytest.raises(SystemExit, match="changes that no commit has"):
        make(tmp_path, monkeypatch, changed=" M edge_inspector/cli.py")
    make(tmp_path, monkeypatch)
    with pytest.raises(SystemExit, match="is there already"):
        make(tmp_path, monkeypatch)
    (tmp_path / "sbom.json").unlink()
    with pytest.raises(SystemExit, match="make sbom"):
        make(tmp_path, monkeypatch)


@pytest.mark.parametrize("arguments", [["--check", "nonsense", "."], ["--check", "A" * 43 + "=", "gone"]])
def test_a_key_or_a_file_that_is_none_is_a_fault(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign", *arguments]) == 2
    assert "fault found" in capsys.readouterr().err
