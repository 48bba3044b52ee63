"""Facts about the station: fixed ones for all pages, and the changing ones of the health page."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector import __version__, metrics
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.driver_table import UNTAUGHT
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.runtime.clock import utc_text
from edge_inspector.runtime.conditions import WARNINGS
from edge_inspector.web.access import Access, Endpoint, RequestError
from edge_inspector.web.live import figures_of
from edge_inspector.web.pictures import colour_of
from edge_inspector.web.plant import Plant
from edge_inspector.web.shift import product_now

_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "starlette", "uvicorn")
_PER_CAMERA = ("frames_completed", "frames_failed", "frames_evicted", "camera_reopened")
_PER_LINK = ("verdicts_delivered", "verdicts_waiting", "verdicts_late", "verdicts_lost", "link_backlog", "link_failed")


class StationApi:
    """/metrics and /healthz for machines, /api/station and /api/health for the page."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        self._versions = {"edge-inspector": __version__, "python": sys.version.partition(" ")[0]} | _versions()

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/metrics", self._metrics, role=None),
            Endpoint("GET", "/healthz", self._healthz, role=None),
            Endpoint("GET", "/api/station", self._station),
            Endpoint("GET", "/api/now", self._now),
            Endpoint("GET", "/api/health", self._health),
        ]

    async def _metrics(self, request: Request) -> Response:
        if not self._access.is_for_machines(request):
            raise RequestError(401, "send the token of web.machines_token_file as `Authorization: Bearer TOKEN`")
        return Response(generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, request: Request) -> Response:
        healthy, body = self._plant.health()
        if "alive" in request.query_params:  # a new start helps a daemon that hangs, and no PLC that is away
            healthy = body["alive"]
        if not self._access.is_for_machines(request):
            body = {"state": body["state"]}  # that is enough for a container's health check
        return JSONResponse(body, 200 if healthy else 503)

    async def _station(self, request: Request) -> Response:
        del request
        plant = self._plant
        file, recipe, geometry = plant.station.file, plant.recipe, plant.geometry
        return JSONResponse(
            {
                "utc": utc_text(time.monotonic_ns()),
                "name": file.station.name,
                "boot": f"{plant.boot_id:08x}",
                "version": __version__,
                "cameras": [
                    {"name": camera.name, "offset_mm": camera.offset_mm, "mm_per_px": camera.mm_per_px}
                    for camera in file.views
                ],
                "links": [{"name": link.name, "driver": link.driver} for link in file.plcs],
                "gate_mm": file.line.gate_mm,
                "promise": plant.station.roles.promise.value,
                "collecting": file.segmenter.driver == UNTAUGHT,
                "on_call": file.parts.on_call,
                "web": file.roll is not None,
                "decision_mm": (geometry.gate - geometry.reserve) / geometry.counts_per_mm,
                "part_length_mm": recipe.part_length_mm,
                "recipe": _recipe(recipe),
                "recipes": [_recipe(criteria.recipe) for criteria in plant.station.recipes.values()],
                "reasons": [reason.label for reason in Reason],
                "codes": [code.name.lower() for code in ErrorCode if code],
                "classes": [{"name": name, "colour": colour_of(index)} for index, name in enumerate(plant.classes)],
            }
        )

    async def _now(self, request: Request) -> Response:
        """State, product and counts, for pages without the live feed."""
        del request
        return JSONResponse(
            {
                "utc": utc_text(time.monotonic_ns()),
                "state": self._plant.conditions.state.value,
                "on_belt": len(self._plant.scene().parts),
                **product_now(self._plant),
            }
        )

    async def _health(self, request: Request) -> Response:
        plant = self._plant
        _, body = plant.health()
        for changing in ("reasons", "utc"):  # the page draws only what has changed. `conditions` has the reasons
            body.pop(changing, None)
        model = plant.model_of()
        return JSONResponse(
            body
            | {
                "conditions": [
                    {
                        "code": held.code.name.lower(),
                        "number": int(held.code),
                        "subject": held.subject,
                        "why": held.why,
                        "fault": plant.conditions.is_fault(held.code, held.subject),
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
                # They tell an attacker where to begin.
                "versions": self._versions if self._access.session(request) is not None else {},
                "cameras": _samples(_PER_CAMERA, "camera"),
                "links": _samples(_PER_LINK, "link"),
                "disk": _disk(plant) | _kept(),
                "latency": figures_of(plant.scene().verdicts),
            }
        )


def _recipe(recipe: Recipe) -> dict[str, Any]:
    fate = recipe.on_not_inspected
    return {"id": recipe.id, "name": recipe.name, "hash": recipe.fingerprint, "on_not_inspected": fate}


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
