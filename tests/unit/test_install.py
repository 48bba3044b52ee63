"""The install script, below a folder of its own: what it writes, what it never touches, and that it can be undone."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "install.sh"
UNIT = Path("etc/systemd/system/edge-inspector.service")
STATION = Path("etc/edge-inspector/station.toml")


def install(
    stage: Path | None, *arguments: str, script: Path = SCRIPT, umask: int = -1
) -> subprocess.CompletedProcess[str]:
    where = {"DESTDIR": str(stage)} if stage else {}
    return subprocess.run(
        ["sh", str(script), *arguments],
        env={"PATH": os.environ["PATH"]} | where,
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
    )


def files(stage: Path) -> set[Path]:
    return {path.relative_to(stage) for path in stage.rglob("*") if path.is_file()}


def test_everything_the_unit_and_the_shipped_station_name_is_there(tmp_path: Path) -> None:
    assert install(tmp_path).returncode == 0
    assert (tmp_path / UNIT).read_text() == (ROOT / "systemd" / "edge-inspector.service").read_text()
    assert "run /etc/edge-inspector/station.toml" in (tmp_path / UNIT).read_text()
    assert (tmp_path / STATION).exists()
    assert (tmp_path / UNIT.with_name("edge-inspector-forward.service")).exists()
    assert (tmp_path / "etc/edge-inspector/recipe.toml").exists()
    assert 'models_dir = "/opt/edge-inspector/models"' in (tmp_path / STATION).read_text()
    assert (tmp_path / "opt/edge-inspector/models/magnetic-tile-1.6/manifest.toml").exists()
    assert (tmp_path / "usr/share/doc/edge-inspector/runbook.md").exists()


def test_only_the_group_may_read_the_configuration(tmp_path: Path) -> None:
    install(tmp_path)
    assert stat.S_IMODE((tmp_path / STATION).stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / STATION.parent).stat().st_mode) == 0o2750


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_the_service_may_read_what_a_careful_root_installs(tmp_path: Path, umask: int) -> None:
    stage = tmp_path / "stage"
    assert install(stage, umask=umask).returncode == 0
    shared = [each for top in ("opt", "usr", "etc/systemd") for each in (stage / top, *(stage / top).rglob("*"))]
    wanted = {path: 0o005 if path.is_dir() else 0o004 for path in shared}
    assert [path for path, bits in wanted.items() if path.stat().st_mode & bits != bits] == []


@pytest.mark.parametrize(
    ("ort", "there", "goes"),
    [
        ("gpu", "onnxruntime", True),
        ("gpu", "onnxruntime-gpu", False),
        ("cpu", "onnxruntime-gpu", True),
        ("none", "onnxruntime-gpu", False),
    ],
)
def test_another_runtime_goes_before_the_one_that_is_wanted_comes(
    tmp_path: Path, ort: str, there: str, *, goes: bool
) -> None:
    pip = tmp_path / "opt" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text(f'#!/bin/sh\n[ "$1 $3" = "show {there}" ]\n')
    pip.chmod(0o755)
    script = tmp_path / "deploy" / "install.sh"
    script.parent.mkdir()
    script.write_text(SCRIPT.read_text().replace("/opt/edge-inspector", str(tmp_path / "opt")))
    done = install(None, "--dry-run", "--ort", ort, script=script)
    assert done.returncode == 0
    said = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(str(pip))]
    installs = ["install"] * (3 if ort == "cpu" else 1)
    assert said == ["uninstall", *installs] if goes else installs


def test_what_runs_as_root_is_that_of_the_lock_files_to_the_byte() -> None:
    done = install(None, "--dry-run", "--ort", "cpu")
    *locked, own = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert [Path(line.split()[-1]).name for line in locked] == ["build.txt", "cpu.txt"]
    assert all("--require-hashes --requirement" in line for line in locked)
    assert "--no-deps --no-build-isolation --no-index" in own, "nothing else is fetched, not even to build it"


def test_a_second_run_changes_nothing_and_keeps_what_was_edited(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / STATION).write_text("# mine\n")
    before = {path: (tmp_path / path).read_bytes() for path in files(tmp_path)}
    assert install(tmp_path).returncode == 0
    assert {path: (tmp_path / path).read_bytes() for path in files(tmp_path)} == before


def test_uninstalling_leaves_configuration_and_history_and_purging_leaves_nothing(tmp_path: Path) -> None:
    install(tmp_path, "--ort", "gpu")
    history = tmp_path / "var/lib/edge-inspector/outbox.sqlite"
    history.parent.mkdir(parents=True)
    history.touch()
    assert install(tmp_path, "--uninstall").returncode == 0
    kept = {history.relative_to(tmp_path), STATION, STATION.with_name("recipe.toml")}
    assert files(tmp_path) == kept
    assert install(tmp_path, "--uninstall", "--purge").returncode == 0
    assert files(tmp_path) == set()


@pytest.mark.parametrize("arguments", [[], ["--ort", "gpu"], ["--uninstall", "--purge"]])
def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path: Path, arguments: list[str]) -> None:
    install(tmp_path)
    before = files(tmp_path)
    done = install(tmp_path, "--dry-run", *arguments)
    assert done.returncode == 0
    assert str(tmp_path) in done.stdout
    assert files(tmp_path) == before


def test_a_dry_run_for_this_machine_makes_a_user_a_venv_and_a_service() -> None:
    said = install(None, "--dry-run").stdout
    assert "venv /opt/edge-inspector" in said or Path("/opt/edge-inspector").exists()
    assert "deploy/locks/cpu.txt" in said


@pytest.mark.parametrize("arguments", [["--frobnicate"], ["--ort", "tpu"], ["--ort"], ["--purge"]])
def test_a_wrong_word_is_refused_before_anything_is_done(tmp_path: Path, arguments: list[str]) -> None:
    done = install(tmp_path, *arguments)
    assert done.returncode == 2
    assert "install.sh: " in done.stderr
    assert files(tmp_path) == set()
