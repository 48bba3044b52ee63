"""What a run makes of its labels: each fold is heard by a net that did not learn from it, and kept beside its results.

- `opinions-N.npz`: what the net says of each picture (`training/judging/hygiene.py`).
- `people-N.npz`: the net beside two annotators, if any picture has two (`training/judging/people.py`).
- `suspects.csv`: the pictures whose labels are probably wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import Evidence, TruePart
from edge_inspector.training.judging.hygiene import Listener, Opinions
from edge_inspector.training.judging.label_report import nobody_was_heard, people_section, suspects_section
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.judging.people import SecondLookout, SecondLooks, SideBySide, compare_people
from edge_inspector.training.judging.suspects import SUSPECTS, Suspect, suspects, write_suspects


class FoldWatch:
    """Hears all that the net of a fold says. It is the `watch` of `gather`."""

    def __init__(self, classes: int, stride: int) -> None:
        self._listener = Listener(classes, stride)
        self._lookout = SecondLookout(classes, stride)

    def __call__(self, part: TruePart, masks: Sequence[Image]) -> None:
        """Note a part."""
        self._listener(part, masks)
        self._lookout(part, masks)

    def save(self, run: Path, fold: int) -> None:
        """Keep what was heard."""
        self._listener.heard().save(_opinions(run, fold))
        looks = self._lookout.looks()
        if looks is not None:
            looks.save(_people(run, fold))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsJudged:
    """The suspects, the comparison with people if there is one, and both as sections of the report."""

    suspects: tuple[Suspect, ...]
    people: SideBySide | None
    sections: tuple[str, ...]


def find_suspects(
    run: Path, folds: Iterable[int], parts: Iterable[TruePart], *, classes: Sequence[str], stride: int
) -> tuple[tuple[Suspect, ...], str]:
    """The suspects of a run, which are also written, and their section. Runs of older versions heard nobody."""
    heard = [Opinions.load(_opinions(run, fold)) for fold in folds if _opinions(run, fold).exists()]
    if not heard:
        return (), nobody_was_heard()
    joined = Opinions.joined(heard)
    found = suspects(joined, classes, stride)
    write_suspects(run / SUSPECTS, [each for _, each in found])
    return tuple(each for _, each in found), suspects_section(found, joined, parts)


def judge_labels(
    run: Path,
    folds: Sequence[int],
    parts: Iterable[TruePart],
    *,
    seen: Evidence,
    limits: Sequence[Limit],
    classes: Sequence[str],
    stride: int,
) -> LabelsJudged:
    """What a finished run says about its labels."""
    found, section = find_suspects(run, folds, parts, classes=classes, stride=stride)
    looks = [SecondLooks.load(_people(run, fold)) for fold in folds if _people(run, fold).exists()]
    people = compare_people(SecondLooks.joined(looks), seen, limits, classes) if looks else None
    sections = [section]
    if people is not None:
        sections.append(people_section(people))
    return LabelsJudged(suspects=found, people=people, sections=tuple(sections))


def _opinions(run: Path, fold: int) -> Path:
    return run / f"opinions-{fold}.npz"


def _people(run: Path, fold: int) -> Path:
    return run / f"people-{fold}.npz"
