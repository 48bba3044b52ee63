"""Facts about the station: fixed ones for all pages, and the changing ones of the health page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector import __version__, metrics
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.runtime.conditions import FAULTS, WARNINGS
from edge_inspector.web.access import Entry
from edge_inspector.web.pictures import colour_of
from edge_inspector.web.plant import Plant

_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "starlette", "uvicorn")
_PER_CAMERA = ("frames_completed", "frames_failed", "frames_evicted", "camera_reopened")
_PER_LINK = ("verdicts_delivered", "verdicts_waiting", "verdicts_late", "verdicts_lost", "link_backlog", "link_failed")


class StationApi:
    """/metrics and /healthz for machines, /api/station and /api/health for the page."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._versions = {"edge-inspector": __version__, "python": sys.version.partition(" ")[0]} | _versions()

    def entries(self) -> Sequence[Entry]:
        """The URLs of this class."""
        return [
            Entry("GET", "/metrics", self._metrics, role=None),
            Entry("GET", "/healthz", self._healthz, role=None),
            Entry("GET", "/api/station", self._station),
            Entry("GET", "/api/health", self._health),
        ]

    async def _metrics(self, request: Request) -> Response:
        del request
        return Response(generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, request: Request) -> Response:
        del request
        healthy, body = self._plant.health()
        return JSONResponse(body, 200 if healthy else 503)

    async def _station(self, request: Request) -> Response:
        del request
        plant = self._plant
        file, recipe, geometry = plant.station.file, plant.recipe, plant.geometry
        return JSONResponse(
            {
                "name": file.station.name,
                "boot": f"{plant.boot_id:08x}",
                "version": __version__,
                "cameras": [
                    {"name": camera.name, "offset_mm": camera.offset_mm, "mm_per_px": camera.mm_per_px}
                    for camera in file.cameras
                ],
                "links": [{"name": link.name, "driver": link.driver} for link in file.plcs],
                "gate_mm": file.line.gate_mm,
                "decision_mm": (geometry.gate - geometry.reserve) / geometry.counts_per_mm,
                "part_length_mm": recipe.part_length_mm,
                "recipe": _recipe(recipe),
                "recipes": [_recipe(criteria.recipe) for criteria in plant.station.recipes.values()],
                "classes": [
                    {"name": name, "colour": colour_of(index)} for index, name in enumerate(plant.model.classes)
                ],
            }
        )

    async def _health(self, request: Request) -> Response:
        del request
        plant = self._plant
        _, body = plant.health()
        body.pop("reasons", None)  # `conditions` has them, without an age: the page draws only what has changed
        model = plant.station.segmenter.info
        return JSONResponse(
            body
            | {
                "conditions": [
                    {
                        "code": held.code.name.lower(),
                        "number": int(held.code),
                        "subject": held.subject,
                        "why": held.why,
                        "fault": held.code in FAULTS,
                        "warning": held.code in WARNINGS,
                    }
                    for held in plant.conditions.reasons()
                ],
                "model": {
                    "name": model.name,
                    "version": model.version,
                    "precision": model.precision,
                    "provider": model.provider,
                    "sha256": model.sha256,
                    "fell_back": model.fell_back,
                },
                "criteria": plant.criteria,
                "recipe": plant.status().recipe_id,
                "enabled": plant.status().enabled,
                "versions": self._versions,
                "cameras": _samples(_PER_CAMERA, "camera"),
                "links": _samples(_PER_LINK, "link"),
                "disk": _disk(plant) | _kept(),
            }
        )


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return {"id": recipe.id, "name": recipe.name, "hash": recipe.fingerprint}


def _samples(names: Sequence[str], label: str) -> dict[str, dict[str, float]]:
    """The values of these metrics, by the value of their label."""
    found: dict[str, dict[str, float]] = {}
    for name in names:
        for family in getattr(metrics, name).collect():
            for sample in family.samples:
                if label in sample.labels and not sample.name.endswith("_created"):
                    of = found.setdefault(sample.labels[label], {})
                    of[name] = of.get(name, 0.0) + sample.value
    return found


def _disk(plant: Plant) -> dict[str, Any]:
    try:
        usage = shutil.disk_usage(plant.station.state_dir)
    except OSError:  # somebody has removed the folder
        return {"total_bytes": 0, "free_bytes": 0}
    return {"total_bytes": usage.total, "free_bytes": usage.free}


def _kept() -> dict[str, Any]:
    kept = _samples(("archive_bytes", "archive_left_out"), "what")
    return {
        "results_bytes": kept.get("results", {}).get("archive_bytes", 0),
        "images_bytes": kept.get("pictures", {}).get("archive_bytes", 0),
        # Pictures that the archive was not meant to keep are no loss.
        "left_out": sum(each.get("archive_left_out", 0) for what, each in kept.items() if what != "sampled"),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
