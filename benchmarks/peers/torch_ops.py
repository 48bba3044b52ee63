"""Lets PyPI's torchvision, which is built for CUDA, be imported with a CPU torch. Import this module first.

Its compiled operators do not load there. Nothing that is measured here calls them, so they are declared without a body.
"""

from importlib.metadata import version

import torch

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

if "+cpu" in version("torch") and "+cpu" not in version("torchvision"):
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", _BOXES)
