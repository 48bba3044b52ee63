"""The soak's two-minute form: `make soak` is the hour."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_two_minutes_with_clients_and_a_bad_disk_grow_nothing(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    done = subprocess.run(
        [sys.executable, str(SOAK), "--minutes", "2", "--model-ms", "5", "--report", str(report)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert report.exists(), done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["complaints"] == [], done.stdout
    assert found["unaccounted"] == found["duplicates"] == 0
    assert found["client_failures"] == 0
