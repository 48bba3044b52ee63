import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture(params=["edge-inspector.service", "edge-inspector-forward.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    text = (ROOT / "systemd" / request.param).read_text()
    path = tmp_path / request.param
    # Only a program that exists can be verified.
    path.write_text(text.replace("/opt/edge-inspector/bin/edge-inspector", "/bin/true"))
    return path


def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    result = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert [line for line in result.stderr.splitlines() if unit.name in line] == []


def test_the_unit_is_hardened(unit: Path) -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:]


def test_the_service_may_open_enough_files_for_cameras_and_clients() -> None:
    assert "\nLimitNOFILE=4096\n" in (ROOT / "systemd" / "edge-inspector.service").read_text()


def test_sending_results_takes_nothing_that_the_station_needs() -> None:
    text = (ROOT / "systemd" / "edge-inspector-forward.service").read_text()
    assert {"CPUSchedulingPolicy=idle", "IOSchedulingClass=idle", "OOMScoreAdjust=1000"} <= set(text.splitlines())
