"""What is wrong with good pictures, said before minutes are spent: odd sizes, two products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.survey import Read
from edge_inspector.training.good.source import GoodSource, TaughtPicture

_USUAL: Final = 0.9
_LOOKED: Final = 60
_APART: Final = 3.0
"""Times as far apart as pictures of one kind are from their middle."""
_FEWEST: Final = 0.1


def refuse_odd_sizes(pictures: Sequence[Read]) -> None:
    """Raise ConfigError if nearly all good pictures have one size and a few have another."""
    good = [each for each in pictures if not each.defective]
    (size, count), *others = Counter(each.size for each in good).most_common()
    if not others or count < _USUAL * len(good):
        return
    odd = next(each for each in good if each.size != size)
    what = (
        f"has {odd.size[1]} x {odd.size[0]} pixels, and {count} of {len(good)} good pictures {size[1]} x {size[0]}: "
        "is it of another camera? Leave it out, or give each camera a model of its own"
    )
    raise ConfigError([Fault(odd.name, what)])


def two_products(source: GoodSource) -> str:
    """A line if the good pictures fall into two kinds that look like different products. "" otherwise."""
    looked = source.good[:: max(1, len(source.good) // _LOOKED)]
    found = np.stack([source.clean(each).features.mean(axis=(0, 2, 3), dtype=np.float32) for each in looked])
    first = _parted(found)
    if first is None:
        return ""
    here, there = (_named(looked, side) for side in (first, ~first))
    return (
        f"the good pictures look like two products: {here}, and {there}. A model of each finds more: give each "
        "a folder of its own"
    )


def _parted(found: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Which pictures belong to the first of two kinds [n, F], or None if there is only one."""
    middle = found.mean(axis=0)
    turned = (found - middle) @ np.linalg.svd(found - middle, full_matrices=False)[2][0]
    order = np.sort(turned)
    splits = [(order[:at], order[at:]) for at in range(1, len(order))]
    low, high = min(splits, key=lambda pair: pair[0].var() * len(pair[0]) + pair[1].var() * len(pair[1]))
    if min(len(low), len(high)) < max(2, _FEWEST * len(order)):
        return None
    first = turned <= low[-1]
    spread = max(
        float(np.linalg.norm(found[side] - found[side].mean(axis=0), axis=1).mean()) for side in (first, ~first)
    )
    apart = float(np.linalg.norm(found[first].mean(axis=0) - found[~first].mean(axis=0)))
    return first if apart > _APART * max(spread, 1e-6) else None


def _named(pictures: Sequence[TaughtPicture], side: NDArray[np.bool_]) -> str:
    name = pictures[int(np.flatnonzero(side)[0])].name
    return f"{name} and {round(100 * float(side.mean()))} % of those looked at"
