"""What calibrated limits have promised, by the fingerprint of the recipe with these limits."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from edge_inspector.errors import DeviceError
from edge_inspector.runtime.clock import iso
from edge_inspector.store.whole_file import read_object, replace_file

_NAME: Final = "promises.json"
_LARGEST: Final = 1 << 18
_KEPT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPromise:
    """At most `false_rejects` of good parts, with this `confidence`, from so many good `parts`. `utc` is ISO 8601."""

    false_rejects: float
    confidence: float
    parts: int
    utc: str


def keep_promise(
    state_dir: Path, recipe_hash: str, *, false_rejects: float, confidence: float, parts: int, utc: datetime
) -> None:
    """Keep the promise of a recipe's limits. It counts as soon as they judge. Raises DeviceError."""
    path = state_dir / _NAME
    kept = read_object(path, _LARGEST)
    kept.pop(recipe_hash, None)
    kept[recipe_hash] = asdict(
        KeptPromise(false_rejects=false_rejects, confidence=confidence, parts=parts, utc=iso(utc))
    )
    try:
        replace_file(path, json.dumps(dict(list(kept.items())[-_KEPT:]), indent=1) + "\n")
    except OSError as error:
        raise DeviceError(f"{path}: the promise cannot be kept: {error.strerror}") from error


def kept_promise(state_dir: Path, recipe_hash: str) -> KeptPromise | None:
    """The promise of these limits. None if they were not calibrated, or if the file is damaged."""
    found = read_object(state_dir / _NAME, _LARGEST).get(recipe_hash)
    try:
        kept = KeptPromise(**found) if isinstance(found, dict) else None
    except TypeError:
        return None
    if kept is None or type(kept.parts) is not int or not isinstance(kept.utc, str):
        return None
    shares = (kept.false_rejects, kept.confidence)
    return kept if all(isinstance(each, float) and 0 < each < 1 for each in shares) else None
