"""One camera's look at a part, from the frame and the model's mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_inspector.inspection.defects import doubtful, find_defects
from edge_inspector.inspection.recipe import ClassLimits, Recipe
from edge_inspector.records import Frame, Image, ModelInfo, View


@dataclass(frozen=True, slots=True)
class Look:
    """Called with a frame and its mask. `mm_per_px` is each camera's, per frame pixel."""

    recipe: Recipe
    limits: Mapping[str, ClassLimits]
    model: ModelInfo
    mm_per_px: Mapping[str, float]

    def __call__(self, frame: Frame, mask: Image, begun_ns: int, inference_ns: int) -> View:
        """The view with its defects in millimetres. `mask` is (classes, H, W) uint8 at the model's stride."""
        defects = find_defects(
            frame.camera,
            mask,
            self.model.classes,
            self.limits,
            self.mm_per_px[frame.camera] * self.model.stride,
            self.recipe.regions.get(frame.camera),
        )
        return View(
            frame.camera,
            frame.frame_id,
            frame.captured_ns,
            frame.exposure_ns,
            frame.encoder_count,
            defects,
            received_ns=frame.received_ns,
            begun_ns=begun_ns,
            inference_ns=inference_ns,
            doubtful=doubtful(mask, self.recipe.review_band),
        )
