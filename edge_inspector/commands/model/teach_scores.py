"""How near each marked picture is to the limits of a model that was taught good parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.data.pictures import read_picture
from edge_inspector.training.good.limits import drawn
from edge_inspector.training.judging.evidence import Evidence, TruePart, TrueView, gather
from edge_inspector.training.judging.limits import Limit, level_of
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.judging.splits import limits_of


def scores_of(run: Path, model: Path, bad: Sequence[Path], data: Path) -> dict[str, float]:
    """Picture -> its largest region as a multiple of the limit. From 1 on it is rejected.

    Good pictures are judged by nets that had not seen them, bad ones by the model itself.
    """
    manifest = read_manifest(model)
    (limit,) = limits_of(manifest)
    held_out = Evidence.joined([Evidence.load(path) for path in sorted(run.glob("fold-*.npz"))])
    good = held_out.chosen(np.flatnonzero(~drawn(held_out) & ~held_out.defective))
    found = _relative(good, limit)
    if bad:
        predict, info = model_predictor(model, "int8")
        parts = [_part(path, data, grey=manifest.input.channels == 1) for path in bad]
        seen = gather(predict, classes=1, stride=info.stride, parts=parts, confidences=[limit.min_confidence])
        found |= _relative(seen, limit)
    return found


def _relative(seen: Evidence, limit: Limit) -> dict[str, float]:
    areas = seen.areas[:, 0, level_of(seen, limit)] / max(1.0, limit.min_area_px)
    return {str(name): float(area) for name, area in zip(seen.names, areas, strict=True)}


def _part(path: Path, data: Path, *, grey: bool) -> TruePart:
    picture = read_picture(path, grey=grey)
    image = picture if picture.ndim == 3 else picture[:, :, np.newaxis]
    name = path.relative_to(data).as_posix()
    return TruePart(name, name, defective=True, views=[TrueView(image, np.zeros(image.shape[:2], np.uint8))])
