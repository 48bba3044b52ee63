"""Whether pictures are like those that a model was taught: their size, brightness, contrast and sharpness.

Another camera, another lens or another light make another model necessary. It is said before minutes are spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from edge_inspector.inspection.picture_guard import signature
from edge_inspector.training.data.folder import Image

_FIGURES: Final = ("brightness", "sharpness", "contrast")
_MARGIN: Final = 0.5
"""In logarithms, beyond the taught range, to which half of it is added."""
_SIZE_MARGIN: Final = 1.25


def looks(pictures: Iterable[Image]) -> dict[str, list[float]]:
    """The lowest and the highest of each figure of good pictures, for a manifest."""
    seen = [(picture.shape[:2], signature(_flat(picture))[: len(_FIGURES)]) for picture in pictures]
    sizes = np.array([size for size, _ in seen])
    figures = np.array([each for _, each in seen])
    found: dict[str, list[float]] = {
        name: [int(sizes[:, axis].min()), int(sizes[:, axis].max())] for axis, name in enumerate(("height", "width"))
    }
    ranges = {
        name: [round(float(figures[:, at].min()), 3), round(float(figures[:, at].max()), 3)]
        for at, name in enumerate(_FIGURES)
    }
    return {**found, **ranges}


def unlike(taught: Mapping[str, Any], pictures: Iterable[Image]) -> str:
    """A line if most of these good pictures are unlike the taught ones. "" if they are like them, or of none."""
    wrong: list[str] = []
    count = 0
    for picture in pictures:
        count += 1
        if what := _differs(taught, picture):
            wrong.append(what)
    if not count or len(wrong) <= count / 2:
        return ""
    return f"{wrong[0]}: is it another camera, lens or light? Teach the model with pictures of this one"


def _differs(taught: Mapping[str, Any], picture: Image) -> str:
    for axis, name in enumerate(("height", "width")):
        low, high = taught.get(name, (0, math.inf))
        if not low / _SIZE_MARGIN <= picture.shape[axis] <= high * _SIZE_MARGIN:
            size = f"{picture.shape[1]} x {picture.shape[0]}"
            return f"pictures have {size} pixels, and the taught ones a {name} of {low} to {high}"
    for value, name in zip(signature(_flat(picture)), _FIGURES, strict=False):
        low, high = taught.get(name, (-math.inf, math.inf))
        room = _MARGIN + (high - low) / 2
        if not low - room <= value <= high + room:
            way = "higher" if value > high else "lower"
            return f"the {name} of pictures is far {way} than that of the taught ones"
    return ""


def _flat(picture: Image) -> Image:
    return np.ascontiguousarray(picture[:, :, 0]) if picture.ndim == 3 and picture.shape[2] == 1 else picture
