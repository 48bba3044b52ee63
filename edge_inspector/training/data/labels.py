"""What labels of whole pictures must be like, so that a net can learn from them. Found out before anything is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.index_file import INDEX


def refuse_poor_labels(folder: Folder, split: str) -> None:
    """Raise ConfigError for labels from which no place of a defect can be learned.

    Each class needs pictures of two groups: one to learn from, one to judge by. Equal files need equal labels.
    """
    faults = [*_rare_classes(folder, split), *_contradictions(folder)]
    if faults:
        raise ConfigError(faults[:20])


def _rare_classes(folder: Folder, split: str) -> Iterable[Fault]:
    rows = [row for row in folder.sure_rows(split) if row["label"] == "1"]
    for kind in folder.classes:
        named = {row["image"]: folder.group_of(row) for row in rows if row["class"] == kind}
        if len(set(named.values())) < 2:
            groups = _counted(len(set(named.values())), "group")
            what = (
                f"class {kind!r} has {_counted(len(named), 'picture')} of {groups} in {split}: "
                "labels need at least 2 groups of each class. Add pictures, or join it to another class"
            )
            yield Fault(str(folder.root / INDEX), what)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _contradictions(folder: Folder) -> Iterable[Fault]:
    """Equal files with other labels. Only files of one size can be equal, so few of them are read."""
    by_size: dict[int, list[str]] = {}
    pictures = folder.pictures()
    for name in pictures:
        by_size.setdefault((folder.root / name).stat().st_size, []).append(name)
    for names in by_size.values():
        first: dict[str, str] = {}
        for name in names if len(names) > 1 else ():
            other = first.setdefault(_digest(folder.root / name), name)
            here, there = (sorted({row["class"] for _, row in pictures[each]}) for each in (name, other))
            if here != there:
                what = f"{other} is {' and '.join(there)} and {name} is {' and '.join(here)}, but they are one picture"
                yield Fault(str(folder.root / INDEX), f"{what}: correct one label")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
