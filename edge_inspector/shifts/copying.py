"""A copy of a shift that may leave the plant: without names and pictures, if asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.challenge import ChallengeRules
from edge_inspector.records import PlcInput, Verdict
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

    `anonymous`: names of station, products, parts and rolls, times of day, paths, addresses and senders of commands are
    left out. The names of cameras and classes stay, because verdicts have them. Raises ConfigError if there is such a
    folder, and DeviceError if it cannot be written.
    """
    if folder.exists():
        raise ConfigError([Fault(str(folder), "is there already. Name a folder that is not")])
    words = _Words()
    head = _without_names(shift.head, words) if anonymous else shift.head
    writer, count = ShiftWriter(folder, head), 0
    for step in rejudge(head, _anonymous(head, shift.steps(), words) if anonymous else shift.steps()):
        writer.step(step)
        count += 1
    writer.end("; ".join(shift.remarks), 0)
    if pictures and (shift.folder / "pictures").is_dir():
        try:
            shutil.copytree(shift.folder / "pictures", folder / "pictures", symlinks=True)
        except (OSError, shutil.Error) as error:
            raise DeviceError(f"{folder}: the pictures cannot be copied: {error}") from error
    return count


@dataclass(slots=True)
class _OtherNames:
    """A number instead of each name. The same name has the same number everywhere."""

    kind: str
    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        return name and self.known.setdefault(name, f"{self.kind}-{len(self.known) + 1}")


@dataclass(slots=True)
class _Words:
    """What stands for the plant's names. A roll is named by the id of a command, so both have the same words."""

    part: _OtherNames = field(default_factory=lambda: _OtherNames("part"))
    master: _OtherNames = field(default_factory=lambda: _OtherNames("master"))
    command: _OtherNames = field(default_factory=lambda: _OtherNames("command"))


def _without_names(head: ShiftHead, words: _Words) -> ShiftHead:
    judged = tuple(
        RecipeInForce(each.recipe.model_copy(update={"name": f"recipe {each.recipe.id}"}), each.limits)
        for each in head.judged
    )
    return replace(
        head,
        station="station",
        began=_UNKNOWN,
        models_dir="models",
        judged=judged,
        settings=_without_places(head.settings),
        challenge=_without_masters(head.challenge, words),
    )


def _without_masters(rules: ChallengeRules, words: _Words) -> ChallengeRules:
    parts = {
        recipe_id: tuple(each.model_copy(update={"name": words.master(each.name)}) for each in of_recipe)
        for recipe_id, of_recipe in rules.parts.items()
    }
    return replace(rules, parts=parts)


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


def _anonymous(head: ShiftHead, steps: Iterator[JudgeStep], words: _Words) -> Iterator[JudgeStep]:
    """The steps without names. The fingerprints of their verdicts are those of the recipes without names."""
    model = head.model
    basis = Basis(head.recipes, lambda: model, head.scales)
    for step in steps:
        model = step.around.model if step.around is not None else model
        verdicts = tuple(
            replace(
                _verdict_without_names(each, words),
                recipe_hash=head.recipes[each.recipe_id].recipe.fingerprint,
                criteria=basis.fingerprint(each.recipe_id),
            )
            for each in step.verdicts
        )
        yield replace(step, items=tuple(_item_without_names(each, words) for each in step.items), verdicts=verdicts)


def _verdict_without_names(verdict: Verdict, words: _Words) -> Verdict:
    stretch = verdict.stretch
    return replace(
        verdict,
        part=replace(verdict.part, part_id=words.part(verdict.part.part_id)),
        challenge=words.master(verdict.challenge),
        stretch=replace(stretch, roll=words.command(stretch.roll)) if stretch is not None else None,
    )


def _item_without_names(item: KeptItem, words: _Words) -> KeptItem:
    if item.plc is not None:
        return KeptItem(plc=_reading_without_names(item.plc, words))
    if item.command is None:
        return item
    source = item.command.source.partition(":")[0]
    return KeptItem(command=replace(item.command, source=source, id=words.command(item.command.id)))


def _reading_without_names(heard: PlcInput, words: _Words) -> PlcInput:
    return replace(heard, triggers=tuple(replace(each, part_id=words.part(each.part_id)) for each in heard.triggers))
