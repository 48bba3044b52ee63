"""Deals groups into `train` and `val`, for labels that say nothing about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VAL_SHARE = 0.25
"""The share of groups for validation, unless a person says another."""


def deal_splits(kinds: Iterable[tuple[str, str]], val_share: float = VAL_SHARE) -> Mapping[str, str]:
    """Group -> split, from (group, class) pairs: every nth of the groups with the same classes is `val`.

    The same pairs in any order give the same splits.
    """
    of_group: dict[str, set[str]] = {}
    for group, kind in kinds:
        of_group.setdefault(group, set()).add(kind)
    turns: dict[str, float] = {}
    chosen: dict[str, str] = {}
    for name in sorted(of_group):
        key = "+".join(sorted(of_group[name]))
        turns[key] = turns.get(key, 0.5) + val_share
        chosen[name] = "val" if turns[key] >= 1.0 else "train"
        turns[key] -= turns[key] >= 1.0
    return chosen
