"""What calibration needs of a station: how masks become regions in millimetres, and how large a mask pixel is."""

from __future__ import annotations

from edge_inspector.inspection.recipe import Criteria
from edge_inspector.inspection.view import Look
from edge_inspector.records import ModelInfo
from edge_inspector.station.load import Station


def look_of(station: Station, criteria: Criteria, model: ModelInfo) -> Look:
    """How these limits look at masks of the station's views."""
    across = {name: scale[0] for name, scale in station.scales.items()}
    along = {name: scale[1] for name, scale in station.scales.items()}
    return Look(lambda: [criteria], model, across, along)


def pixel_mm2(station: Station, criteria: Criteria, model: ModelInfo) -> float:
    """The area of the largest mask pixel in the views of this recipe."""
    scales = (station.scales[name] for name in criteria.recipe.views)
    return float(max(across * along for across, along in scales) * model.stride**2)


def model_id(model: ModelInfo) -> str:
    """How the model ids of verdicts by this model begin, whatever ran it."""
    return f"{model.name}-{model.version}/"
