"""The container image, on a demo line whose world is outside: `make image` builds it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.image_box import USER, InImage, buildah, inside, unpacked

from edge_inspector.simulation.options import DemoOptions

IMAGE = "localhost/edge-inspector:local"
SKIP = "needs root and the image: make image"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """The files of the image."""
    with unpacked(IMAGE, SKIP) as found:
        yield found


def test_doctor_finds_what_it_needs(root: Path) -> None:
    found = subprocess.run(
        [*inside(root), "edge-inspector", "doctor"], stdout=subprocess.PIPE, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stdout
    assert "onnxruntime offers" in found.stdout


def test_nothing_of_the_image_can_be_written(root: Path) -> None:
    found = subprocess.run(
        [*inside(root), "touch", "/opt/edge-inspector/models/x"], stderr=subprocess.PIPE, check=False, timeout=60
    )
    assert b"Read-only file system" in found.stderr


def test_a_line_gets_its_verdicts_and_sigterm_ends_the_container(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    demo = InImage(DemoOptions(parts=20), folder)
    demo.program = [*inside(root, folder), "edge-inspector"]
    with demo.running():
        status = Path(f"/proc/{demo.daemon.pid}/status").read_text(encoding="utf-8")
        assert f"\nUid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in status
        image = buildah("inspect", "--type", "image", IMAGE, skip=SKIP)
        check = json.loads(image)["Docker"]["config"]["Healthcheck"]["Test"][1]
        healthy = [*inside(root), "sh", "-c", check.replace("9108", str(demo.ports["web"]))]
        assert subprocess.run(healthy, check=False, timeout=60).returncode == 0
        demo.play()
        report = demo.finish()
    assert (report["parts_triggered"], report["unaccounted"], report["duplicates"]) == (20, 0, 0)
    assert demo.daemon.returncode == 0
