"""Replaces a file in one step. Nobody ever reads half of it, not even after a power cut. Reads what may be damaged.

All modules that replace a file do it here. A test finds those that do not.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_STATE_MODE = 0o640  # whatever the umask is: for the service's user, and readable by its group


def replace_file(path: Path, content: str | bytes, *, keep_access: bool = False) -> None:
    """Replace the content of one of the station's own files. Raises OSError.

    The file is readable by its owner and its group. Its group is that of the folder, because root may write what the
    service must read. With `keep_access`, owner, group and mode of a file that exists stay as they are.
    """
    with draft_of(path) as draft:
        # Nobody else can read it before it has its final mode.
        draft.touch(0o600, exist_ok=False)
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        if keep_access and path.exists():
            os.chown(draft, path.stat().st_uid, path.stat().st_gid)
            shutil.copystat(path, draft)
        else:
            with suppress(PermissionError):
                os.chown(draft, -1, path.parent.stat().st_gid)
            draft.chmod(_STATE_MODE)


def read_object(path: Path, largest: int) -> dict[str, Any]:
    """The JSON object in one of the station's own files. Empty if there is none, or none that can be used.

    A file of more than `largest` bytes is damaged.
    """
    try:
        if path.stat().st_size > largest:
            raise ValueError("too large")  # noqa: TRY301 -- the same as any other damage
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be used: %s", path, error)
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def draft_of(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """A new file beside `path` to write to. It takes the place of `path` at the end of the block. Raises OSError.

    After an error `path` is as before. With `synced` this holds after a power cut too. Without, it holds after the end
    of the process, and nobody waits for the disk. Only one thread or process may write a file at a time.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with ExitStack() as after_an_error:
        after_an_error.callback(_drop, draft)
        yield draft
        if synced:
            _sync(draft)
        draft.replace(path)
        after_an_error.pop_all()
    if synced:
        _sync_folder(path.parent)


@contextmanager
def draft_folder_of(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to fill. It takes the place of `path` at the end of the block. Raises OSError.

    After an error `path` is as before. A power cut leaves the old folder, the new one, or none, but never half of one.
    """
    draft = path.with_name(f".{path.name}.new")
    _drop_folder(draft)
    with ExitStack() as after_an_error:
        after_an_error.callback(shutil.rmtree, draft, ignore_errors=True)
        draft.mkdir()
        yield draft
        for each in draft.rglob("*"):
            (_sync_folder if each.is_dir() else _sync)(each)
        _sync_folder(draft)
        _drop_folder(path)
        draft.rename(path)
        after_an_error.pop_all()
    _sync_folder(path.parent)


def _drop_folder(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _drop(draft: Path) -> None:
    with suppress(OSError):
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    try:
        _sync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync a folder
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
