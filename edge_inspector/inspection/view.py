"""Makes one camera's view of a part from the frame and the model's mask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from edge_inspector.inspection.defects import contains, doubtful, find_defects, level
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import Frame, Image, ModelInfo, Reason, View, ViewFigures

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """Call it with a frame and its mask. `mm_per_px` is each camera's scale across the belt, `mm_per_row` along it.

    `in_use()` are the recipes that may judge parts on the line: one, or two while recipes change.
    """

    in_use: Callable[[], Sequence[Criteria]]
    model: ModelInfo
    mm_per_px: Mapping[str, float]
    mm_per_row: Mapping[str, float]

    def __call__(
        self, frame: Frame, mask: Image, *, begun_ns: int, inference_ns: int, figures: ViewFigures | None = None
    ) -> View:
        """The view with its defects in millimetres. `mask` is (classes, H, W) uint8 at the model's stride.

        The view's `figures` are those of the picture, completed with those of the mask.
        """
        peaks = [int(plane.max(initial=0)) for plane in mask]
        void = _is_void(mask, peaks)
        if figures is not None:
            figures = replace(figures, confidence=max(peaks, default=0) / 255)
        looks = (self._by(criteria, frame, mask, peaks, void=void) for criteria in self.in_use())
        first, *others = (
            replace(look, begun_ns=begun_ns, inference_ns=inference_ns, figures=figures) for look in looks
        )
        return replace(first, others=tuple(others)) if others else first

    def size_mm(self, camera: str, mask: Image) -> tuple[float, float]:
        """Width and height of the area that the camera's mask covers."""
        across, along = self._scale(camera)
        return mask.shape[2] * across, mask.shape[1] * along

    def _scale(self, camera: str) -> tuple[float, float]:
        return self.mm_per_px[camera] * self.model.stride, self.mm_per_row[camera] * self.model.stride

    def _by(self, criteria: Criteria, frame: Frame, mask: Image, peaks: Sequence[int], *, void: bool) -> View:
        limits, camera = criteria.limits, frame.camera
        # A region outside the picture was not inspected. Finding no defect there proves nothing.
        scale = self._scale(camera)
        region = criteria.recipe.regions.get(camera)
        whole = region is None or contains(mask, scale, region)
        if not whole:
            _say_once(camera, criteria.recipe.id, *self.size_mm(camera, mask))
        # Most masks are clean. A class needs no search if no pixel reaches its level.
        reached = {
            name: limits[name]
            for name, peak in zip(self.model.classes, peaks, strict=True)
            if name in limits and peak >= level(limits[name])
        }
        defects = find_defects(
            camera,
            mask,
            classes=self.model.classes,
            limits=reached if whole else {},
            mm_per_px=scale[0],
            region=region,
            mm_per_row=scale[1],
        )
        return View(
            camera,
            frame.frame_id,
            frame.captured_ns,
            exposure_ns=frame.exposure_ns,
            encoder_count=frame.encoder_count,
            defects=defects,
            failure=Reason.INFERENCE_FAILED if void else Reason.NONE if whole else Reason.BAD_IMAGE,
            received_ns=frame.received_ns,
            doubtful=doubtful(peaks, criteria.recipe.review_band),
            recipe_id=criteria.recipe.id,
            captured_error_ns=frame.captured_error_ns,
        )


def _is_void(mask: Image, peaks: Sequence[int]) -> bool:
    """Whether the model's output was not a number. The model's guard then sets every pixel of every class to 255.

    Such a view rejects like any defect. If a recipe allows some defects, the view must not be accepted either.
    """
    return all(peak == 255 for peak in peaks) and int(mask.min(initial=255)) == 255 and mask.size > 0


@lru_cache(maxsize=256)
def _say_once(camera: str, recipe_id: int, width_mm: float, height_mm: float) -> None:
    log.error(
        "%s: the region of recipe %d is not in its picture of %.0f x %.0f mm: no part is inspected (bad_image)",
        camera,
        recipe_id,
        width_mm,
        height_mm,
    )
