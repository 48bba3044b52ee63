"""What commands write down of the changes that they make."""

from __future__ import annotations

import getpass
import os
from contextlib import suppress
from pathlib import Path

from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.records import Change
from edge_inspector.runtime.clock import moment
from edge_inspector.store.audit import append


def write_down(state_dir: Path, what: str, subject: str, *, before: str, after: str, why: str = "") -> None:
    """Write a change down before it is made. Raises ConfigError, because a change without a record must not be made."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        change = Change(f"command:{login()}", what, subject, before=before, after=after, why=why)
        append(state_dir, change, moment().utc)
    except OSError as error:
        raise ConfigError([Fault(str(state_dir), f"cannot be made: {error.strerror}")]) from error
    except DeviceError as error:
        raise ConfigError([Fault("audit", str(error))]) from error


def login() -> str:
    """The person, also behind sudo."""
    with suppress(KeyError, OSError):
        return os.environ.get("SUDO_USER") or getpass.getuser()
    return str(os.getuid())
