"""The example package of docs/how-to/driver.md, installed in a folder of its own: a station with its drivers runs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_inspector.simulation.demo import free_port

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "driver"
VERDICTS = 12

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it, apart from everything else."""
    source, target = tmp_path_factory.mktemp("source") / "driver", tmp_path_factory.mktemp("installed")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", str(target), str(source)], check=True, timeout=120)
    return target


@pytest.fixture
def station(tmp_path: Path, installed: Path) -> Path:
    """The example's station file with free ports, and a link to the package beside it."""
    (tmp_path / "installed").symlink_to(installed)
    shutil.copy(EXAMPLE / "recipe.toml", tmp_path)
    control, camera = free_port(), free_port()
    text = (EXAMPLE / "station.toml").read_text()
    text = text.replace('host = "127.0.0.1" }', f'host = "127.0.0.1", port = {control} }}')
    text = text.replace('host = "127.0.0.1", channel', f'host = "127.0.0.1", port = {camera}, channel')
    path = tmp_path / "station.toml"
    path.write_text(f"{text}\n[web]\nport = {free_port()}\n")
    (tmp_path / "ports").write_text(f"{control} {camera}")
    return path


def command(station: Path, module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    paths = [station.parent / "installed", ROOT]
    return [sys.executable, "-m", module, *arguments], os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}


@contextmanager
def devices(station: Path) -> Iterator[subprocess.Popen[str]]:
    """The simulated devices, ready."""
    words, environment = command(station, "acme_drivers.devices", *(station.parent / "ports").read_text().split())
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            yield program
        finally:
            program.kill()


def test_check_finds_every_driver_and_all_of_it_works(station: Path) -> None:
    words, environment = command(station, "edge_inspector", "check", str(station))
    with devices(station):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line[6:19].strip(): line for line in done.stdout.splitlines()}
    assert {line[:4] for line in done.stdout.splitlines()} <= {"ok  ", "WARN"}
    assert "plates-1/none/cpu, classes spot" in rows["model"]
    assert "256 x 256 px, grey" in rows["camera"]
    assert "acme" in rows["encoder"]
    assert "Acme controller" in rows["link"]


def test_a_station_of_foreign_drivers_rejects_the_parts_with_a_spot(station: Path) -> None:
    words, environment = command(station, "edge_inspector", "run", str(station))
    verdicts = {}
    with devices(station) as belt, subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as daemon:
        assert belt.stdout is not None
        while len(verdicts) < VERDICTS:
            part, _, decision = belt.stdout.readline().removeprefix("part ").partition(": ")
            verdicts[int(part)] = decision.strip()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
    latest = sorted(verdicts)[-6:]  # the first ones passed before the station was ready
    assert {part: verdicts[part] for part in latest} == {part: "accept" if part % 3 else "reject" for part in latest}


def test_settings_are_checked_in_the_words_of_the_driver(station: Path) -> None:
    station.write_text(station.read_text().replace('channel = "A"', 'channel = "E"'))
    words, environment = command(station, "edge_inspector", "check", str(station))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "must be one of the letters A, B, C and D (is 'E')" in done.stderr


def test_the_doctor_tries_the_address_of_the_link(station: Path) -> None:
    words, environment = command(station, "edge_inspector", "doctor", str(station))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "FIX   'controller' does not answer on 127.0.0.1 port" in done.stdout
