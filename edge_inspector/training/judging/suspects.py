"""The pictures whose labels are probably wrong, surest first: as a list for a person, and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.store.whole_file import replace_file
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.judging.hygiene import FEWEST, Floats, Opinions, doubts

SUSPECTS: Final = "suspects.csv"
LOOKS_BAD: Final = "good, but it looks bad"
NOTHING_THERE: Final = "nothing is where a defect is drawn"
NOT_DRAWN: Final = "a defect is not drawn"
ANOTHER_CLASS: Final = "it looks like another class"
NAMED_FROM: Final = 0.2
"""Doubts come out too small, because the nets learned from wrong labels too. Of those named, most are wrong (0086)."""
_COLUMNS: Final = ("image", "label", "sure", "what", "class", "x", "y")
_SHOWN: Final = 3
_SEEN: Final = 0.5
_CONFUSED_MOST: Final = 0.1
"""Share of a class's pictures in which the nets may see another class, if that is to mean anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One picture, what is probably wrong, and how sure that is.

    `label` is 1 for a bad picture, as in the index. `kind` is the class that the net sees, "" if it does not matter.
    `x`, `y` are the place to look at, in pixels of the picture.
    """

    name: str
    label: int
    sure: float
    what: str
    kind: str = ""
    x: int = 0
    y: int = 0


def suspects(
    heard: Opinions, classes: Sequence[str], stride: int, named_from: float = NAMED_FROM
) -> list[tuple[int, Suspect]]:
    """The suspects with their place in the opinions, surest first. Each picture once, for the surest reason."""
    good, bad = np.flatnonzero(~heard.bad), np.flatnonzero(heard.bad)
    if min(len(good), len(bad), len(heard.moved)) < FEWEST:
        return []
    _, wrong = doubts(heard.whole, heard.bad, certain=np.zeros(len(heard.bad), np.bool_))
    own = np.column_stack([heard.whole[bad], heard.drawn[bad]])
    _, nothing_there = _doubted(heard.moved, own, certain=(True, False))
    # What is usual beside drawn defects is told by the bad pictures themselves: no outline is exact.
    beside, _ = _doubted(heard.outside[bad], heard.whole[bad], certain=(False, True))
    known = _known_classes(heard, bad)
    found: dict[int, Suspect] = {}

    def accuse(at: int, sure: float, what: str, kind: str = "") -> None:
        x, y = _strongest(heard, at, stride) if what != NOTHING_THERE else (0, 0)
        one = Suspect(name=str(heard.names[at]), label=int(heard.bad[at]), sure=sure, what=what, kind=kind, x=x, y=y)
        if sure >= named_from and (at not in found or found[at].sure < sure):
            found[at] = one

    answers = (
        (good, wrong[good], LOOKS_BAD),
        (bad, nothing_there, NOTHING_THERE),
        (bad, beside, NOT_DRAWN),
    )
    for which, sure, what in answers:
        for at, value in zip(which, sure, strict=True):
            accuse(int(at), float(value), what)
    for at in bad:
        inside, instead = heard.sides[at]
        if int(heard.own[at]) in known:
            accuse(int(at), float(instead * (1.0 - inside)), ANOTHER_CLASS, classes[int(heard.other[at])])
    return sorted(found.items(), key=lambda item: (-item[1].sure, item[1].name))


def _doubted(zeros: Floats, ones: Floats, certain: tuple[bool, bool]) -> tuple[Floats, Floats]:
    """The doubts of both."""
    labels = np.repeat([False, True], [len(zeros), len(ones)])
    _, found = doubts(np.concatenate([zeros, ones]), labels, certain=np.where(labels, certain[1], certain[0]))
    return found[: len(zeros)], found[len(zeros) :]


def _known_classes(heard: Opinions, bad: NDArray[np.intp]) -> set[int]:
    """The classes that the nets can tell: one that they often take for another proves nothing."""
    found = set()
    for kind in set(heard.own[bad].tolist()):
        inside, instead = heard.sides[bad[heard.own[bad] == kind]].T
        if np.mean((instead > inside) & (instead > _SEEN)) <= _CONFUSED_MOST:
            found.add(int(kind))
    return found


def _strongest(heard: Opinions, at: int, stride: int) -> tuple[int, int]:
    """Where the net is surest, in pixels of the picture."""
    calm = np.asarray(cv2.blur(heard.map_of(at), (5, 5)))
    y, x = np.unravel_index(int(calm.argmax()), calm.shape)
    return int(x) * stride, int(y) * stride


def write_suspects(path: Path, found: Sequence[Suspect]) -> None:
    """Write the list. Nobody reads half of it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in found:
        writer.writerow((each.name, each.label, f"{each.sure:.3f}", each.what, each.kind, each.x, each.y))
    replace_file(path, text.getvalue())


def read_suspects(path: Path) -> list[Suspect]:
    """The list of an earlier run. Empty if there is none, or if it cannot be read: it is only a hint."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Suspect(name=row["image"], label=int(row["label"]), sure=float(row["sure"]), what=row["what"])
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []


def still_suspect(found: Sequence[Suspect], folder: Folder) -> list[Suspect]:
    """Those whose label has not been changed since, and that have no note."""
    labels = {
        name: (int(any(row["label"] == "1" for _, row in rows)), any(row.get("note") for _, row in rows))
        for name, rows in folder.pictures().items()
    }
    return [each for each in found if labels.get(each.name) == (each.label, False)]


def said_of(found: Sequence[Suspect], where: Path) -> Iterator[str]:
    """What `model train` says about them."""
    if not found:
        return
    one = len(found) == 1
    yield (
        f"{len(found)} {'picture is' if one else 'pictures are'} probably labelled wrongly, the surest first in "
        f"{where}. Look at them before you train longer"
    )
    for each in found[:_SHOWN]:
        yield f"  {each.name}: {each.what}{f' ({each.kind})' if each.kind else ''}, {100 * each.sure:.0f} % sure"
