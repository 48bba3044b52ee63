"""A model that can be tried in the first minute: it only remembers some good parts, and has learned nothing yet."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from edge_inspector.training.data.folder import ANOMALY
from edge_inspector.training.good.learn import GoodPlan, preview_net
from edge_inspector.training.good.source import GoodSource
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.unet import STRIDE, Deployed
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

PREVIEW: Final = "preview-1.0"
_MOST: Final = 60
_SMALLEST_PX: Final = 16.0
_SAID: Final = "A first look: what {} good pictures look like to a frozen net. Its limits are a guess."


def write_preview(source: GoodSource, plan: GoodPlan, run: Path) -> Path:
    """Write the model folder RUN/preview-1.0 and return it."""
    begun, target = time.monotonic(), run / PREVIEW
    some = source.some(_MOST)
    net, frame = preview_net(some, plan), source.frame
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    shape, stride = (*frame.window, frame.channels), STRIDE * frame.shrink
    export_onnx(Deployed([net], frame.shrink), target / FILES["fp32"], shape)
    card = Card("preview", "1.0", "proprietary", _SAID.format(len(some.good)))
    limits = [Limit(0.5, _SMALLEST_PX * stride**2)]
    Draft(card, [ANOMALY], shape, stride, fill=frame.fill, limits=limits).write(target)
    took = time.monotonic() - begun
    print(f"preview after {took:.0f} s, from {len(some.good)} good pictures: {target}", flush=True)
    return target
