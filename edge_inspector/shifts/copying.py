"""A copy of a shift that may leave the plant: without names and pictures, if asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.inspection.basis import Basis
from edge_inspector.shifts.files import Shift, ShiftWriter
from edge_inspector.shifts.head import RecipeInForce, ShiftHead
from edge_inspector.shifts.tape import JudgeStep, KeptItem

_UNKNOWN = "1970-01-01T00:00:00.000Z"


Rejudge = Callable[[ShiftHead, Iterator[JudgeStep]], Iterator[JudgeStep]]
"""Makes of the steps of a shift the same steps with other verdicts."""


def copy_shift(
    shift: Shift, folder: Path, *, anonymous: bool, pictures: bool, rejudge: Rejudge = lambda _, steps: steps
) -> int:
    """Copy the shift into a new folder, and return the number of steps.

    `anonymous`: names of station and product, times of day, paths, addresses and senders of commands are left out. The
    names of cameras and classes stay, because verdicts have them. Raises ConfigError if there is such a folder, and
    DeviceError if it cannot be written.
    """
    if folder.exists():
        raise ConfigError([Fault(str(folder), "is there already. Name a folder that is not")])
    head = _without_names(shift.head) if anonymous else shift.head
    writer, count = ShiftWriter(folder, head), 0
    for step in rejudge(head, _without_senders(head, shift.steps()) if anonymous else shift.steps()):
        writer.step(step)
        count += 1
    writer.end("; ".join(shift.remarks), 0)
    if pictures and (shift.folder / "pictures").is_dir():
        try:
            shutil.copytree(shift.folder / "pictures", folder / "pictures", symlinks=True)
        except (OSError, shutil.Error) as error:
            raise DeviceError(f"{folder}: the pictures cannot be copied: {error}") from error
    return count


def _without_names(head: ShiftHead) -> ShiftHead:
    judged = tuple(
        RecipeInForce(each.recipe.model_copy(update={"name": f"recipe {each.recipe.id}"}), each.limits)
        for each in head.judged
    )
    settings = _without_places(head.settings)
    return replace(head, station="station", began=_UNKNOWN, models_dir="models", judged=judged, settings=settings)


def _without_places(settings: str) -> str:
    """The segmenter's settings without paths and addresses. Whoever replays the copy has others."""
    try:
        given = json.loads(settings)
    except (ValueError, RecursionError):
        return "{}"
    told = given.items() if isinstance(given, dict) else ()
    return json.dumps({key: value for key, value in told if not (key.endswith("_file") or _names_a_place(value))})


def _names_a_place(value: object) -> bool:
    return any(sign in json.dumps(value) for sign in "/\\:")


def _without_senders(head: ShiftHead, steps: Iterator[JudgeStep]) -> Iterator[JudgeStep]:
    """The steps, with verdicts whose fingerprints are those of the recipes without names."""
    model = head.model
    basis = Basis(head.recipes, lambda: model, head.scales)
    for step in steps:
        model = step.around.model if step.around is not None else model
        verdicts = tuple(
            replace(
                each,
                recipe_hash=head.recipes[each.recipe_id].recipe.fingerprint,
                criteria=basis.fingerprint(each.recipe_id),
            )
            for each in step.verdicts
        )
        yield replace(step, items=tuple(map(_item_without_names, step.items)), verdicts=verdicts)


def _item_without_names(item: KeptItem) -> KeptItem:
    if item.command is None:
        return item
    source = item.command.source.partition(":")[0]
    return KeptItem(command=replace(item.command, source=source))
