"""Labels that come as a zip file are unpacked into a folder first. The file is not trusted."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.form_folders import BAD_FOLDERS, GOOD_FOLDERS

_FILES_MOST: Final = 500_000
_TELLING: Final = frozenset({"train", "valid", "test", "images"}) | GOOD_FOLDERS | BAD_FOLDERS
_TIMES_MOST: Final = 200
"""How much larger than the zip file its content may be. Pictures hardly shrink."""
_DAMAGED: Final = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What the library raises for a file that is damaged, encrypted, or packed in a way that it does not know."""


@contextmanager
def as_folder(source: Path, beside: Path) -> Iterator[Path]:
    """The folder itself, or a temporary one in `beside` with the content of a zip file. Raises ConfigError."""
    if source.is_dir():
        yield source
        return
    if not zipfile.is_zipfile(source):
        raise ConfigError([Fault(str(source), "is neither a folder nor a zip file")])
    with TemporaryDirectory(prefix="unpacked.", dir=beside) as scratch:
        _unpack(source, Path(scratch))
        yield _innermost(Path(scratch))


def _unpack(source: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            _refuse_bomb(source, archive, target)
            for member in archive.infolist():
                place = (target / member.filename).resolve()
                if not place.is_relative_to(target.resolve()):
                    raise ConfigError([Fault(str(source), f"{member.filename[:200]!r} leaves the folder")])
                if not member.is_dir():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as packed, place.open("wb") as file:
                        shutil.copyfileobj(packed, file)
    except _DAMAGED as error:
        raise ConfigError([Fault(str(source), f"cannot be unpacked: {error}")]) from error


def _refuse_bomb(source: Path, archive: zipfile.ZipFile, target: Path) -> None:
    """Sizes are as the file says. Reading more than that is an error of the library."""
    members = archive.infolist()
    size, packed = sum(member.file_size for member in members), source.stat().st_size
    if len(members) > _FILES_MOST or size > _TIMES_MOST * packed + (1 << 20):
        what = f"would become {len(members)} files and {size >> 20} MB from {packed >> 20} MB: it was not unpacked"
        raise ConfigError([Fault(str(source), what)])
    free = shutil.disk_usage(target).free
    if size > free // 2:
        raise ConfigError([Fault(str(source), f"needs {size >> 20} MB, and {target} has {free >> 20} MB left")])


def _innermost(folder: Path) -> Path:
    """Many zip files hold one folder and nothing else. One whose name says what is in it is kept."""
    children = list(folder.iterdir())
    only_folder = len(children) == 1 and children[0].is_dir() and children[0].name.casefold() not in _TELLING
    return _innermost(children[0]) if only_folder else folder
