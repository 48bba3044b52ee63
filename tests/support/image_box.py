"""A container image as a root folder in which programs run: nothing can be written, and nobody is root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.station_files import models_dir

USER = 10001
MODELS = "/opt/edge-inspector/models"
_BOX = f"""
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
if [ -n "$3" ]; then mount --rbind /sys "$1/sys"; fi
mount -t tmpfs tmp "$1{tempfile.gettempdir()}"
if [ -n "$2" ]; then mkdir -p "$1$2"; mount --bind "$2" "$1$2"; fi
root=$1
shift 3
exec chroot "$root" setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs \\
    env -i PATH=/opt/edge-inspector/bin:/usr/bin:/bin "$@"
"""


def buildah(*words: str, skip: str) -> str:
    """What buildah says. The test is skipped, with this reason, if it cannot do it."""
    found = subprocess.run(
        ["buildah", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=300
    )
    if found.returncode != 0:
        pytest.skip(skip)
    return found.stdout.strip()


@contextmanager
def unpacked(image: str, skip: str) -> Iterator[Path]:
    """The files of the image. The test is skipped, with this reason, if there is none, or if this is not root."""
    if os.geteuid() != 0 or not shutil.which("buildah"):
        pytest.skip(skip)
    container = buildah("from", "--pull=never", image, skip=skip)
    try:
        yield Path(buildah("mount", container, skip=skip))
    finally:
        buildah("rm", container, skip=skip)


def inside(root: Path, state: Path | str = "", *, emulated: bool = False) -> Sequence[str]:
    """How a command runs in the image: nothing but `state` can be written, without root, and on the host's network.

    An emulated processor must not see this machine's /sys. ONNX Runtime crashes if that tells of another processor.
    """
    return ["unshare", "--mount", "sh", "-c", _BOX, "sh", str(root), str(state), "" if emulated else "sys"]


def give(folder: Path) -> None:
    """Make the folder with all that is in it the image's user's."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, USER, USER)


class InImage(Demo):
    """The demo line with its daemon in the image, and the image's own models."""

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station = self.folder / "station.toml"
        station.write_text(station.read_text().replace(str(models_dir()), MODELS))
        give(self.folder)
