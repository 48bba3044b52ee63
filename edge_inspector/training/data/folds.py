"""Cross-validation without leaks: a whole group is held out together."""

from collections import Counter
from collections.abc import Mapping

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.index_file import Row


def grouped_folds(folder: Folder, split: str, count: int) -> list[frozenset[str]]:
    """Groups of a split in `count` folds, each fold with its share of every class.

    The index's own folds are used if there are `count` of them and no group lies in two of them.
    """
    rows = folder.rows(split)
    own = _own_folds(folder, rows)
    if len(own) == count:
        folds = [frozenset(groups) for groups in own.values()]
        _refuse_overlap(folds, folder)
        return folds
    groups: dict[str, Counter[str]] = {}
    for row in rows:
        groups.setdefault(folder.group_of(row), Counter())[row["class"] if row["label"] == "1" else ""] += 1
    if len(groups) < count:
        raise ConfigError([Fault(str(folder.root), f"{len(groups)} groups do not make {count} folds")])
    return _dealt(groups, count)


def _own_folds(folder: Folder, rows: list[Row]) -> dict[str, set[str]]:
    own: dict[str, set[str]] = {}
    for row in rows:
        if row.get("fold"):
            own.setdefault(row["fold"], set()).add(folder.group_of(row))
    return dict(sorted(own.items()))


def _refuse_overlap(folds: list[frozenset[str]], folder: Folder) -> None:
    for position, fold in enumerate(folds):
        for other in folds[position + 1 :]:
            if fold & other:
                shared = min(fold & other)
                what = f"the folds leak: {folder.group_kind} {shared} lies in two of them"
                raise ConfigError([Fault(str(folder.root), what)])


def _dealt(groups: Mapping[str, Counter[str]], count: int) -> list[frozenset[str]]:
    """Deal the largest groups of the rarest classes first, each to the fold that has least of their classes."""
    total: Counter[str] = sum((Counter(kinds) for kinds in groups.values()), Counter())
    folds: list[set[str]] = [set() for _ in range(count)]
    held: list[Counter[str]] = [Counter() for _ in range(count)]

    def weight(kinds: Counter[str]) -> float:
        return sum(number / total[kind] for kind, number in kinds.items())

    for name in sorted(groups, key=lambda name: (-weight(groups[name]), name)):
        kinds = groups[name]

        def load(fold: int, kinds: Counter[str] = kinds) -> tuple[float, float, int]:
            shared = sum(held[fold][kind] / total[kind] for kind in kinds)
            return shared, weight(held[fold]), fold

        target = min(range(count), key=load)
        folds[target].add(name)
        held[target].update(kinds)
    return [frozenset(fold) for fold in folds]
