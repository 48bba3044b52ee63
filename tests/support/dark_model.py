"""A model that takes what is dark for defective, and a recipe for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

ASSETS = Path(__file__).parents[1] / "assets"

MEAN = """
format = 1
name = "mean"
version = "1.0"
licence = "Apache-2.0"
description = "Dark is a defect."
classes = ["dark"]
[input]
height = 64
width = 64
channels = 1
[output]
stride = 1
[limits.dark]
min_confidence = 0.5
min_area_px = 100.0
"""


def dark_model(models: Path, asset: str = "dark") -> Path:
    """A model that takes what is dark for defective: 255 less the pixel, or what another asset makes of it."""
    pytest.importorskip("onnxruntime", reason="the extra `cpu` is not installed")
    folder = models / "mean-1.0"
    folder.mkdir(parents=True)
    content = (ASSETS / f"{asset}.onnx").read_bytes()
    (folder / "model.int8.onnx").write_bytes(content)
    files = f'[files.int8]\npath = "model.int8.onnx"\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    (folder / "manifest.toml").write_text(MEAN + files)
    return models


RECIPE = """
id = 1
name = "plate"
model = "mean-1.0"
views = ["camera"]
part_length_mm = 100
min_pitch_mm = 200
position_tolerance_mm = 5
"""
