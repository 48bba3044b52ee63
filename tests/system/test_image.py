"""The container image, on a demo line whose world is outside: `make image` builds it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import models_dir

IMAGE = "localhost/edge-inspector:local"
USER = 10001
BOX = f"""
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmp "$1{tempfile.gettempdir()}"
if [ -n "$2" ]; then mkdir -p "$1$2"; mount --bind "$2" "$1$2"; fi
root=$1
shift 2
exec chroot "$root" setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs \\
    env -i PATH=/opt/edge-inspector/bin:/usr/bin:/bin "$@"
"""
SKIP = "needs root and the image: make image"


def buildah(*words: str) -> str:
    found = subprocess.run(
        ["buildah", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=300
    )
    if found.returncode != 0:
        pytest.skip(SKIP)
    return found.stdout.strip()


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """The files of the image."""
    if os.geteuid() != 0 or not shutil.which("buildah"):
        pytest.skip(SKIP)
    container = buildah("from", "--pull=never", IMAGE)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("rm", container)


def inside(root: Path, state: Path | str = "") -> Sequence[str]:
    """How a command runs in the image: nothing but `state` can be written, without root, and on the host's network."""
    return ["unshare", "--mount", "sh", "-c", BOX, "sh", str(root), str(state)]


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


class InImage(Demo):
    """The demo line with its daemon in the image, and the image's own models."""

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station = self.folder / "station.toml"
        station.write_text(station.read_text().replace(str(models_dir()), "/opt/edge-inspector/models"))
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, USER, USER)


def test_a_line_gets_its_verdicts_and_sigterm_ends_the_container(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    demo = InImage(DemoOptions(parts=20), folder)
    demo.program = [*inside(root, folder), "edge-inspector"]
    with demo.running():
        status = Path(f"/proc/{demo.daemon.pid}/status").read_text(encoding="utf-8")
        assert f"\nUid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in status
        check = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]["Healthcheck"]["Test"][1]
        healthy = [*inside(root), "sh", "-c", check.replace("9108", str(demo.ports["web"]))]
        assert subprocess.run(healthy, check=False, timeout=60).returncode == 0
        demo.play()
        report = demo.finish()
    assert (report["parts_triggered"], report["unaccounted"], report["duplicates"]) == (20, 0, 0)
    assert demo.daemon.returncode == 0
