"""Writes the model folder of a wrapped net: tried once, with INT8 if pictures are given and it is worth it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import onnx

from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
from edge_inspector.inspection.mask_watch import advice, remarks
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.segmenters.tiling import place
from edge_inspector.training.data.folder import Image
from edge_inspector.training.data.label_files import PICTURES
from edge_inspector.training.data.pictures import read_picture
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.judging.runtimes import blank, interleaved_ms, model_predictor, open_session
from edge_inspector.training.shipping import gate, quantize
from edge_inspector.training.shipping.foreign import DAMAGED, Foreign
from edge_inspector.training.shipping.manifest import FILES, Card, Draft
from edge_inspector.training.shipping.wrapping import wrap

_CALIBRATION_MOST: Final = 100
_FAR: Final = 25  # of 255
_FAR_SHARE: Final = 0.005
"""Share of mask values that may be far from those of FP32. There are no labels to compare by."""


class Limits(NamedTuple):
    """The limits of every class, for the manifest."""

    confidence: float
    area_px: float


def write_wrapped(
    foreign: Foreign, card: Card, target: Path, *, limits: Limits, pictures: Path | None, boxes: bool = False
) -> Iterator[str]:
    """Write the folder `target` in one step. Yields what was found. Raises ConfigError.

    With `boxes` the model of a detector gives them, too.
    """
    images = _calibration(pictures, foreign) if pictures else []
    try:
        model, stride = wrap(foreign, boxes=boxes)
    except DAMAGED as error:
        raise ConfigError([Fault("FILE", f"cannot be wrapped: {' '.join(str(error).split())[:200]}")]) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        onnx.save(model, str(folder / FILES["fp32"]))
        shape = (*foreign.size, foreign.channels)
        chosen = [Limit(limits.confidence, limits.area_px)] * len(foreign.classes)
        draft = Draft(card, foreign.classes, shape, stride, limits=chosen)
        draft.write(folder)
        yield from _tried(folder)
        if images:
            yield _quantised(folder, images)
            draft.write(folder)
        folder.replace(target)
    yield f"written: {target}"
    if not (target / FILES["int8"]).exists():
        yield 'it has no INT8 file: on a station write settings = { precision = "fp32" } under [segmenter]'
    yield f"score it: edge-inspector model evaluate {target} DATA --precision fp32"


def _tried(folder: Path) -> Iterator[str]:
    """Run the model once. Raises ConfigError if it does not run here."""
    predict, info = model_predictor(folder, "fp32")
    manifest = read_manifest(folder)
    try:
        mask = predict(blank(manifest))
    except EdgeInspectorError as error:
        raise ConfigError([Fault("FILE", f"does not run: {str(error)[:300]}")]) from error
    yield f"runs: mask {' x '.join(map(str, mask.shape))}, {interleaved_ms([predict], blank(manifest), 5)[0]:.1f} ms"
    for doubt in filter(None, (info.blind, *remarks(info), advice(info))):
        yield f"WARN: {doubt}"


def _calibration(folder: Path, foreign: Foreign) -> list[Image]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise ConfigError([Fault("--calibrate", f"{folder} has no pictures")])
    chosen = paths[:: max(1, len(paths) // _CALIBRATION_MOST)][:_CALIBRATION_MOST]
    shape = foreign.size if foreign.channels == 1 else (*foreign.size, 3)
    found = []
    for path in chosen:
        image = read_picture(path, grey=foreign.channels == 1)
        slot = np.zeros(shape, np.uint8)
        place(np.ascontiguousarray(image[: foreign.size[0], : foreign.size[1]]), slot, "mirror")
        found.append(slot if slot.ndim == 3 else slot[:, :, np.newaxis])
    return found


def _quantised(folder: Path, images: list[Image]) -> str:
    """Make the INT8 file, and keep it if it is near FP32 and faster. Says which."""
    fp32, int8 = folder / FILES["fp32"], folder / FILES["int8"]
    try:
        wide = quantize.quantize_for_cpu(fp32, int8, images)
    except (ValueError, TypeError, RuntimeError, LookupError, AttributeError, NotImplementedError) as error:
        int8.unlink(missing_ok=True)
        return f"INT8 was not made: {str(error)[:200]}"
    fault = gate.saturates(int8, images[:20]) or _far(fp32, int8, images[:20])
    if fault:
        int8.unlink()
        return f"INT8 was not kept: {fault}"
    rounded = f". {wide} layers are so wide that their weights are only rounded to the nearest step" if wide else ""
    return f"INT8 was made, and its masks are those of FP32{rounded}"


def _far(fp32: Path, int8: Path, images: list[Image]) -> str:
    full, small = open_session(fp32), open_session(int8)
    shares = []
    for image in images:
        feed = {"image": image[np.newaxis]}
        difference = full.run(None, feed)[0].astype(np.int16) - small.run(None, feed)[0].astype(np.int16)
        shares.append(float(np.mean(np.abs(difference) > _FAR)))
    share = float(np.mean(shares))
    return f"{100 * share:.1f} % of its mask values are far from those of FP32" if share > _FAR_SHARE else ""
