"""Whether the daemon can use the state folder."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from edge_inspector.errors import DeviceError

_PROBE = b"edge-inspector check" * 256  # bytes: more than a file system may store together with a file's name


def try_folder(folder: Path) -> int:
    """Create the folder and a file in it, as the daemon does. Returns its free bytes. Raises DeviceError.

    Nothing stays behind, because the daemon could not use a folder that root created here.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f".check-{uuid4().hex}"
        try:
            with path.open("xb") as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise DeviceError(f"station.state_dir {folder}: {folder_words(folder, error)}") from error
    finally:
        with suppress(OSError):
            for each in missing:
                each.rmdir()


def folder_words(folder: Path, error: OSError) -> str:
    """A message about the fault of the folder, with a remedy."""
    if error.errno in (errno.EACCES, errno.EPERM):
        nearest = next(each for each in (folder, *folder.parents) if each.exists())
        return (
            f"this user may not write to {nearest}. Run as root: install -d -o {_user()} {folder}"
            " (or write state_dir where this user may)"
        )
    if error.errno == errno.EROFS and "INVOCATION_ID" in os.environ:
        return (
            "read-only for the service: run `systemctl edit edge-inspector`, write the lines [Service] and "
            f"ReadWritePaths={folder}, and start it again. If it stays so, its disk is mounted read-only"
        )
    if error.errno == errno.EROFS:
        return "its disk is mounted read-only: mount it for writing, and look into dmesg for why it is not"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "its disk is full: make room"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{error.filename or folder} is a file where a folder must be: move it away"
    return f"{error.strerror}: is its disk mounted?"


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())
