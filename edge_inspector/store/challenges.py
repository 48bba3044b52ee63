"""The challenges of a station, one line of JSON each, oldest first. They are kept as long as the state folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import KW_ONLY, asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_inspector.errors import DeviceError
from edge_inspector.records import ChallengeRun, ChallengeSeen
from edge_inspector.runtime.clock import iso

_LINE_MAX = 1 << 18
_OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class StoredChallenge:
    """One challenge: when it ended, and how. `why` it failed is "" if it was passed."""

    utc: datetime
    who: str
    recipe_id: int
    criteria: str
    _: KW_ONLY
    expected: int
    parts: tuple[ChallengeSeen, ...]
    why: str

    @property
    def by(self) -> str:
        """Who began it, as people say it: a name of the page without "page:"."""
        return self.who.removeprefix("page:")

    @property
    def passed(self) -> bool:
        """Whether every part came and was judged as it must be."""
        return not self.why


def challenges_path(state_dir: Path) -> Path:
    """Where the challenges of a station are kept."""
    return state_dir / "challenges.jsonl"


def stored(run: ChallengeRun, utc: datetime) -> StoredChallenge:
    """The challenge as it is kept. It ended at `utc`."""
    return StoredChallenge(
        utc, run.who, run.recipe_id, run.criteria, expected=run.expected, parts=run.parts, why=run.why
    )


def append_challenge(state_dir: Path, run: StoredChallenge) -> None:
    """Keep a challenge. Raises DeviceError."""
    path = challenges_path(state_dir)
    line = json.dumps({**asdict(run), "utc": iso(run.utc)}).encode() + b"\n"
    try:
        file = os.open(path, _OPEN, _MODE)
        try:
            start = os.fstat(file).st_size
            if os.write(file, line) != len(line):
                os.ftruncate(file, start)
                raise DeviceError(f"{path}: the disk is full")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise DeviceError(f"{path}: a challenge cannot be kept: {error.strerror}") from error


def read_challenges(state_dir: Path) -> Iterator[StoredChallenge]:
    """Every challenge that can be read, oldest first. Raises DeviceError."""
    path = challenges_path(state_dir)
    try:
        with path.open("rb") as file:
            while line := file.readline(_LINE_MAX):
                found = _parsed(line)
                if found is not None:
                    yield found
    except FileNotFoundError:
        return
    except OSError as error:
        raise DeviceError(f"{path}: cannot be read: {error.strerror}") from error


def _parsed(line: bytes) -> StoredChallenge | None:
    """None for a line that was cut off or edited into nonsense."""
    try:
        found: Any = json.loads(line)
        utc = datetime.fromisoformat(found["utc"])
        parts = tuple(ChallengeSeen(**{**each, "found": tuple(map(str, each["found"]))}) for each in found["parts"])
        run = StoredChallenge(
            utc,
            str(found["who"]),
            int(found["recipe_id"]),
            str(found["criteria"]),
            expected=int(found["expected"]),
            parts=parts,
            why=str(found["why"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    sound = all(type(each.right) is bool and isinstance(each.name, str) for each in parts)
    return run if sound and utc.tzinfo is not None else None
