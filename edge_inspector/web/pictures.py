"""Pictures for people: the mask laid over the frame, as JPEG or PNG."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_inspector.records import Image

# Okabe and Ito's colours in RGB. People with any colour vision can tell them apart.
_COLOURS = ("#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#f0e442", "#d55e00", "#0072b2")
_TINT = 0.35
_LINE_PX = 2
_JPEG_QUALITY = 80


def colour_of(index: int) -> str:
    """The colour of the model's class number `index`, as #rrggbb."""
    return _COLOURS[index % len(_COLOURS)]


def overlaid(image: Image, mask: Image | None, thresholds: Sequence[int], width: int) -> Image:
    """`image` (grey or BGR) at `width` pixels, BGR. The areas above the thresholds are tinted and outlined."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    shrinks = width < image.shape[1]
    shown = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if shown.ndim == 2:
        shown = cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR)
    # Without a mask the two lists have different lengths.
    for index, (threshold, plane) in enumerate(zip(thresholds, () if mask is None else mask, strict=False)):
        if int(plane.max(initial=0)) >= threshold:
            _mark(shown, plane, threshold, _bgr(index))
    return np.asarray(shown, np.uint8)


def tinted(mask: Image, thresholds: Sequence[int], size: tuple[int, int]) -> Image:
    """The mask alone as (H, W, 4) BGRA of `size` (width, height), to lay over a picture."""
    width, height = size
    layer = np.zeros((height, width, 4), np.uint8)
    # A mask that an earlier model made may have fewer classes.
    for index, (threshold, plane) in enumerate(zip(thresholds, mask, strict=False)):
        if int(plane.max(initial=0)) >= threshold:
            region = _region(plane, threshold, size)
            layer[region > 0] = (*_bgr(index), round(_TINT * 255))
            cv2.drawContours(layer, _outlines(region), -1, (*_bgr(index), 255), _LINE_PX)
    return layer


def jpeg(image: Image) -> bytes:
    """The image as JPEG."""
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])


def png(image: Image) -> bytes:
    """The image as PNG, without loss."""
    return bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])


def _mark(shown: Image, plane: Image, threshold: int, colour: tuple[int, int, int]) -> None:
    region = _region(plane, threshold, (shown.shape[1], shown.shape[0]))
    tint = cv2.addWeighted(shown, 1 - _TINT, np.full_like(shown, colour), _TINT, 0)
    cv2.copyTo(tint, region, shown)
    cv2.drawContours(shown, _outlines(region), -1, colour, _LINE_PX, cv2.LINE_AA)


def _region(plane: Image, threshold: int, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.compare(cv2.resize(plane, size), float(threshold), cv2.CMP_GE), np.uint8)


def _outlines(region: Image) -> Sequence[Image]:
    found: Sequence[Image] = cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    return found


def _bgr(index: int) -> tuple[int, int, int]:
    text = colour_of(index)
    return int(text[5:7], 16), int(text[3:5], 16), int(text[1:3], 16)
