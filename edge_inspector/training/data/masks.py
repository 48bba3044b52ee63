"""Reads mask files as different tools store them. An ambiguous mask is refused with a hint on what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.pictures import read_pixels

Image: TypeAlias = NDArray[np.uint8]

_FLAWED: Final = 255
_HALF: Final = 128
_FAINTEST: Final = 16
"""Values below this are class numbers, not degrees of certainty."""
_RULE: Final = "Write 0 where the part is good and 255 where it is flawed, grey, 8 bits"


def read_mask(path: Path) -> Image:
    """[H, W], from 0 for good to 255 for certainly defective. Raises ConfigError if the file is no such mask."""
    stored = read_pixels(path, cv2.IMREAD_UNCHANGED)
    if stored.dtype != np.uint8:
        raise _refused(path, f"has {stored.dtype.itemsize * 8} bits a value, at most {stored.max()}")
    if stored.ndim == 3 and stored.shape[2] == 4:
        if (stored[..., 3] != stored[0, 0, 3]).any():
            raise _refused(path, "is partly transparent: it is not clear whether colour or transparency is the mask")
        stored = stored[..., :3]
    if stored.ndim == 3:
        if (stored != stored[..., :1]).any():
            raise _refused(path, f"is coloured ({_colours(stored)}): a palette or a drawing")
        stored = stored[..., 0]
    mask = np.asarray(stored, np.uint8)
    _refuse_numbers(path, mask)
    return mask


def read_two_valued(path: Path) -> Image:
    """[H, W], 0 or 255. If the file has two values, the lower one must be 0, and the other one may be any.

    Raises ConfigError if it has more and they are no degrees of certainty.
    """
    stored = read_pixels(path, cv2.IMREAD_UNCHANGED)
    if stored.ndim == 2 and len(values := np.unique(stored)) <= 2 and (len(values) == 1 or values[0] == 0):
        return np.where(stored > 0, np.uint8(255), np.uint8(0)).astype(np.uint8)
    return np.where(read_mask(path) > 0, np.uint8(255), np.uint8(0)).astype(np.uint8)


def _refuse_numbers(path: Path, mask: Image) -> None:
    """Raise ConfigError if the values are class numbers or a single grey, and not degrees of certainty."""
    values = [int(value) for value in np.flatnonzero(cv2.calcHist([mask], [0], None, [256], [0, 256])) if value]
    if not values:
        return
    classes = [value for value in values if value < _FAINTEST]
    if classes and all(value < _FAINTEST or value == _FLAWED for value in values):
        also = ", where 255 often means 'ignore'" if values[-1] == _FLAWED else ""
        shown = ", ".join(map(str, [0, *values[:6]]))
        raise _refused(path, f"holds the values {shown}: these are numbers of classes{also}")
    if len(values) == 1 and values[0] < _HALF:
        raise _refused(path, f"holds only 0 and {values[0]}, which is less than half sure")


def _colours(picture: NDArray[Any]) -> str:
    found = np.unique(picture.reshape(-1, 3)[:, ::-1], axis=0)
    return ", ".join(str(tuple(int(value) for value in colour)) for colour in found[-3:]) + " as RGB"


def _refused(path: Path, what: str) -> ConfigError:
    return ConfigError([Fault(str(path), f"is not a mask: it {what}. {_RULE}")])
