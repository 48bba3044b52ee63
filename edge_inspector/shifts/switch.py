"""Whether shifts are recorded: this one, and from the next start on. People switch it on the page."""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from edge_inspector.errors import DeviceError
from edge_inspector.shifts.files import shifts_path
from edge_inspector.shifts.tape import Tape
from edge_inspector.store.whole_file import replace_file

_NAME = "record.json"


@dataclass(frozen=True, slots=True)
class RecordNow:
    """What is recorded. `why` this shift's record has ended is "" while it goes on. `size` is of all `shifts`."""

    recording: bool
    why: str
    next_start: bool
    _: KW_ONLY
    budget_mb: int
    shifts: int
    size: int


class RecordSwitch:
    """Any thread may ask and turn it. `at_start` is what the station file says, and `tape` takes down this shift.

    A record is whole from the start of the judge, or it is none. So switching on counts from the next start on, and
    switching off at once.
    """

    def __init__(self, state_dir: Path, *, budget_mb: int, at_start: bool, tape: Tape | None = None) -> None:
        self.tape = tape
        self._state_dir = state_dir
        self._budget_mb = budget_mb
        self._at_start = at_start

    @property
    def wanted(self) -> bool:
        """Whether a start of the daemon begins a record."""
        if not self._budget_mb:
            return False
        try:
            kept = json.loads((self._state_dir / _NAME).read_bytes())
            found = kept["record"] if isinstance(kept, dict) else None
        except (OSError, ValueError, KeyError, RecursionError):
            return self._at_start
        return found if isinstance(found, bool) else self._at_start

    def look(self) -> RecordNow:
        """What is recorded now. It reads the disk. Raises DeviceError."""
        root = shifts_path(self._state_dir)
        try:
            folders = [each for each in root.iterdir() if each.is_dir()] if root.is_dir() else []
            size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
        except OSError as error:
            raise DeviceError(f"{root}: cannot be read: {error.strerror}") from error
        why = self.tape.why if self.tape is not None else ""
        return RecordNow(
            recording=self.tape is not None and not why,
            why=why,
            next_start=self.wanted,
            budget_mb=self._budget_mb,
            shifts=len(folders),
            size=size,
        )

    def turn(self, who: str, *, on: bool) -> None:
        """Record from the next start on, or end this record at once and begin none. Raises DeviceError."""
        path = self._state_dir / _NAME
        try:
            replace_file(path, json.dumps({"record": on}))
        except OSError as error:
            raise DeviceError(f"{path}: the switch cannot be kept: {error.strerror}") from error
        if not on and self.tape is not None:
            self.tape.why = self.tape.why or f"{who} switched recording off"
