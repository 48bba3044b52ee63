"""What the page can see of the station, and the few things it may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_inspector.config import Station
from edge_inspector.encoders.timeline import Timeline
from edge_inspector.records import ModelInfo, Scene
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.stages.judge import Geometry
from edge_inspector.store.results import Results


@dataclass(frozen=True, slots=True)
class Plant:
    """Everything here may be asked from any thread."""

    station: Station
    boot_id: int
    model: ModelInfo
    geometry: Geometry
    conditions: Conditions
    timeline: Timeline
    album: Album
    results: Results
    scene: Callable[[], Scene]
    health: Callable[[], tuple[bool, dict[str, Any]]]
