"""The archived pictures on the disk: DAY/CAMERA/TIME-partN-frameN with .png or .jpg, -mask.png and .json.

Pictures on which the shadow model disagrees have "shadow" instead of the part. The stem is the path without its ending.
It names all files of one view.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

MASK = "-mask.png"
SIDECAR = ".json"
IMAGES = (".png", ".jpg")

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CAMERA = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VIEW = re.compile(r"\d{6}\.\d{6}Z-(?:part\d{1,10}|shadow)-frame\d{1,20}")
_FILE = re.compile(rf"({_VIEW.pattern})(-mask\.png|\.json|\.png|\.jpg)(\.new|\.part)?")


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """The existing files of one view: the image, the model's mask if it was inferred, and the facts as JSON."""

    stem: str
    image: Path
    mask: Path | None
    sidecar: Path | None


def picture_stem(utc: datetime, camera: str, part_seq: int | None, frame_id: int) -> str:
    """The stem of a view's files, decided at `utc`, relative to the folder of the images.

    Without `part_seq` they belong to the shadow model.
    """
    part = "shadow" if part_seq is None else f"part{part_seq}"
    return f"{utc:%Y-%m-%d}/{camera}/{utc:%H%M%S.%f}Z-{part}-frame{frame_id}"


def find_picture(root: Path, stem: str) -> StoredPicture | None:
    """The files with this `stem` below `root`. None if there is no image, or if this is no stem of a picture."""
    day, _, rest = stem.partition("/")
    camera, _, view = rest.partition("/")
    if not (_DAY.fullmatch(day) and _CAMERA.fullmatch(camera) and _VIEW.fullmatch(view)):
        return None
    for ending in IMAGES:
        image = root / f"{stem}{ending}"
        if image.is_file():
            mask, sidecar = root / f"{stem}{MASK}", root / f"{stem}{SIDECAR}"
            return StoredPicture(stem, image, mask if mask.is_file() else None, sidecar if sidecar.is_file() else None)
    return None


def days(root: Path) -> list[str]:
    """The days that have a folder below `root`, oldest first. Raises OSError."""
    with os.scandir(root) as found:
        return sorted(each.name for each in found if _DAY.fullmatch(each.name) and each.is_dir(follow_symlinks=False))


def files_of_day(root: Path, day: str) -> Iterator[tuple[str, Path, int]]:
    """Stem, path and size in bytes of every file of a day that belongs to the archive, including half-written files.

    All other files are ignored. Raises OSError.
    """
    with os.scandir(root / day) as cameras:
        for camera in cameras:
            if not (_CAMERA.fullmatch(camera.name) and camera.is_dir(follow_symlinks=False)):
                continue
            with os.scandir(camera.path) as files:
                for file in files:
                    name = _FILE.fullmatch(file.name)
                    if name is not None and file.is_file(follow_symlinks=False):
                        stem = f"{day}/{camera.name}/{name[1]}"
                        yield stem, Path(file.path), file.stat(follow_symlinks=False).st_size
