"""What was changed on the page: limits and regions of recipes, and the challenge settings.

Changes lie in the state folder, because the files are root's. A change counts as long as the file has what it was made
from. Somebody who edits the file wins.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from edge_inspector.errors import DeviceError
from edge_inspector.inspection.recipe import Criteria, Recipe
from edge_inspector.station.challenge_faults import challenge_faults
from edge_inspector.station.tables import ChallengeTable
from edge_inspector.store.whole_file import read_object, replace_file

log = logging.getLogger(__name__)

CHALLENGE = 0  # the number of the challenge settings. Recipes begin with 1
CHANGEABLE = frozenset({"classes", "regions", "review_band"})
_NAME = "recipe-edits.json"
_LARGEST = 4 << 20

Edited = TypeVar("Edited", Recipe, ChallengeTable)


def edited(state_dir: Path, recipe: Recipe) -> Recipe:
    """The recipe with the changes that were put in force. The recipe itself if there are none, or if they are void."""
    return _edited(state_dir, recipe.id, recipe, base=recipe.fingerprint, change=with_changes)


def edited_challenge(state_dir: Path, table: ChallengeTable, recipes: Mapping[int, Criteria]) -> ChallengeTable:
    """The challenge settings in the same way. `recipes` are those of the station, by id."""

    def change(table: ChallengeTable, changes: Any) -> ChallengeTable:
        return with_settings(table, changes, recipes)

    return _edited(state_dir, CHALLENGE, table, base=fingerprint_of(table), change=change)


def _edited(
    state_dir: Path, number: int, written: Edited, *, base: str, change: Callable[[Edited, Any], Edited]
) -> Edited:
    what = name_of(number)
    kept = read_object(state_dir / _NAME, _LARGEST).get(str(number))
    if not isinstance(kept, dict):
        return written
    version = kept.get("version")
    if kept.get("base") != base:
        log.warning("%s: its file was changed after version %s of the page: the file counts", what, version)
        return written
    try:
        changed = change(written, kept.get("changes"))
    except ValueError as error:
        log.warning("%s: version %s of the page is void: %s", what, version, error)
        return written
    log.info("%s: version %s of the page is in force", what, version)
    return changed


def name_of(number: int) -> str:
    """What has this number, for people."""
    return f"recipe {number}" if number != CHALLENGE else "challenge settings"


def fingerprint_of(table: ChallengeTable) -> str:
    """Eight hex digits that change with the challenge settings."""
    # A setting that was added later counts only if it is set, so that versions of before stay in force.
    content = table.model_dump_json(exclude=None if table.plc_bit else {"plc_bit"})
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def with_changes(recipe: Recipe, changes: Any) -> Recipe:
    """The recipe with other limits or regions. Raises ValueError, which says what is wrong."""
    if not isinstance(changes, dict) or changes.keys() - CHANGEABLE:
        raise ValueError(f"only {', '.join(sorted(CHANGEABLE))} can be changed")
    try:
        return Recipe.model_validate(recipe.model_dump() | changes)
    except ValidationError as error:
        raise ValueError(_first(error)) from error


def with_settings(table: ChallengeTable, changes: Any, recipes: Mapping[int, Criteria]) -> ChallengeTable:
    """The challenge settings with other values. Raises ValueError, which says what is wrong."""
    if not isinstance(changes, dict):
        raise ValueError("the challenge settings are a table")  # noqa: TRY004 -- as for every other wrong value
    try:
        changed = ChallengeTable.model_validate(table.model_dump() | changes)
    except ValidationError as error:
        raise ValueError(_first(error)) from error
    for at, part in enumerate(changed.parts):
        if not part.name.isprintable() or not part.name.strip():
            raise ValueError(f"parts.{at}.name: it must be readable on one line")
    for fault in challenge_faults(changed, recipes):
        raise ValueError(str(fault))
    return changed


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def put_in_force(state_dir: Path, number: int, base: str, *, version: int, changes: Mapping[str, Any] | None) -> None:
    """From the next start on, these changes count. None: the file alone. `base` is the fingerprint of what it says.

    Raises DeviceError.
    """
    path = state_dir / _NAME
    kept = read_object(path, _LARGEST)
    kept.pop(str(number), None)
    if changes is not None:
        kept[str(number)] = {"base": base, "version": version, "changes": changes}
    try:
        replace_file(path, json.dumps(kept))
    except OSError as error:
        raise DeviceError(f"{path}: the version cannot be put in force: {error.strerror}") from error


def waiting_version(state_dir: Path, number: int) -> int:
    """The version that the next start takes: of the recipe with this number, or of the challenge settings. 0: none."""
    kept = read_object(state_dir / _NAME, _LARGEST).get(str(number))
    version = kept.get("version") if isinstance(kept, dict) else 0
    return version if type(version) is int else 0
