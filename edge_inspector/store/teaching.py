"""The state of a job that teaches a model. The job writes it, and it outlives the daemon and the job."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import DeviceError
from edge_inspector.store.whole_file import read_object, replace_file

_LARGEST: Final = 1 << 20
_STATE: Final = "state.json"
REPORT: Final = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingJob:
    """A job. `begun` tells its process from a later one with the same `pid`. `ended` is "" while it runs.

    `ended` is done, failed, cancelled, or interrupted if the process is gone without a word. `share` is what is done.
    """

    name: str
    method: str
    pid: int
    begun: int
    share: float = 0.0
    left_s: float | None = None
    ended: str = ""
    why: str = ""


def teaching_dir(state_dir: Path) -> Path:
    """Where the last job of a station lies."""
    return state_dir / "teaching"


def read_teaching(folder: Path) -> TeachingJob | None:
    """The last job. None if there was none, or if its file is damaged."""
    found = read_object(folder / _STATE, _LARGEST)
    try:
        job = TeachingJob(**found)
    except TypeError:
        return None
    numbers = type(job.pid) is int and type(job.begun) is int and isinstance(job.share, int | float)
    if not numbers or not all(isinstance(text, str) for text in (job.name, job.method, job.ended, job.why)):
        return None
    if not job.ended and begun_of(job.pid) != job.begun:
        return TeachingJob(**{**found, "ended": "interrupted"})
    return job


def read_report(folder: Path) -> dict[str, Any]:
    """What came out of the last job that ended well. Empty if nothing did."""
    return read_object(folder / REPORT, _LARGEST)


def write_teaching(folder: Path, job: TeachingJob) -> None:
    """Store the state. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / _STATE, json.dumps(asdict(job)))


def begun_of(pid: int) -> int:
    """When this process began, in ticks of the kernel. 0 if there is none (any more)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def cancel(folder: Path) -> bool:
    """End the job. False if none runs. Raises DeviceError."""
    job = read_teaching(folder)
    if job is None or job.ended:
        return False
    with _disk(folder):
        with suppress(ProcessLookupError):
            os.kill(job.pid, signal.SIGKILL)
        write_teaching(folder, TeachingJob(**{**asdict(job), "ended": "cancelled"}))
    return True


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeviceError(f"{folder}: {error.strerror or error}") from error
