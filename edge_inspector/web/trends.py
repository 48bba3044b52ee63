"""What people found wrong, and rates, classes, places and reserves over a shift, a day or a week."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.codes import Reason
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.control_limits import ControlLimits, control_limits
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.store.trends import Interval, Quality, Sums, Trends
from edge_inspector.web.access import Endpoint, RequestError
from edge_inspector.web.asked import instant, number
from edge_inspector.web.events import table
from edge_inspector.web.plant import Plant

_MOST_DAYS = 92
_BARS = 48  # intervals of a chart, about
_SQUARES = 24  # of a heat map along the longer side
_WIDTHS_S = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 86400)


@dataclass(frozen=True, slots=True)
class Asked:
    """The time and the recipe that somebody asks about."""

    since: datetime
    until: datetime
    recipe_id: int | None

    @property
    def width_s(self) -> int:
        """The length of one interval."""
        span_s = (self.until - self.since).total_seconds()
        return next((width for width in _WIDTHS_S if span_s / width <= _BARS), _WIDTHS_S[-1])


class TrendPages:
    """The URLs /api/trends, /api/places, /api/quality and the CSV files."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/trends", self._trends, slow=True),
            Endpoint("GET", "/api/trends.csv", self._csv, slow=True),
            Endpoint("GET", "/api/places", self._places, slow=True),
            Endpoint("GET", "/api/quality", self._quality, slow=True),
            Endpoint("GET", "/api/quality.csv", self._quality_csv, slow=True),
        ]

    async def _trends(self, request: Request) -> Response:
        asked = self._asked(request)
        return JSONResponse(self._looked_up(lambda trends: self._told(trends, asked)))

    async def _csv(self, request: Request) -> Response:
        asked = self._asked(request)
        intervals = self._looked_up(lambda trends: self._intervals(trends, asked))
        head = ("begin", "recipe", "product", "accepted", "rejected", "not_inspected")
        rows = (
            (iso(each.utc), each.recipe_id, self._product(each.recipe_id), *_numbers(each.sums)) for each in intervals
        )
        return table(head, rows, "trends")

    async def _places(self, request: Request) -> Response:
        asked = self._asked(request)
        views = {camera.name: self._plant.view_mm(camera.name) for camera in self._plant.station.file.views}
        square = max((max(size) for size in views.values() if size), default=_SQUARES) / _SQUARES
        cells = self._looked_up(lambda trends: trends.places(asked.since, asked.until, square, asked.recipe_id))
        return JSONResponse(
            {
                "square_mm": square,
                "views": views,
                "cells": [
                    {
                        "camera": each.camera,
                        "class": each.defect_class,
                        "x": each.column,
                        "y": each.row,
                        "n": each.defects,
                    }
                    for each in cells
                ],
            }
        )

    async def _quality(self, request: Request) -> Response:
        asked = self._asked(request)
        found = self._looked_up(lambda trends: trends.quality(asked.since, asked.until))
        return JSONResponse({"quality": [asdict(each) | {"product": self._product(each.recipe_id)} for each in found]})

    async def _quality_csv(self, request: Request) -> Response:
        asked = self._asked(request)
        found: list[Quality] = self._looked_up(lambda trends: trends.quality(asked.since, asked.until))
        head = ("recipe", "product", "model", "looked_at", "escapes", "false_rejects")
        rows = (
            (each.recipe_id, self._product(each.recipe_id), each.model, each.judged, each.escapes, each.false_rejects)
            for each in found
        )
        return table(head, rows, "quality")

    def _told(self, trends: Trends, asked: Asked) -> dict[str, Any]:
        intervals = self._intervals(trends, asked)
        return {
            "since": iso(asked.since),
            "until": iso(asked.until),
            "width_s": asked.width_s,
            "products": [self._of_product(recipe_id, intervals) for recipe_id in _recipes(intervals)],
            "classes": [{"name": name, "parts": parts} for name, parts in trends.classes(*_range(asked))],
            "reasons": [
                {"reason": reason_label(reason), "parts": parts} for reason, parts in trends.reasons(*_range(asked))
            ],
            "reserves": [
                {"utc": iso(each.utc), "least_ms": each.least_ms, "mean_ms": each.mean_ms}
                for each in trends.reserves(asked.since, asked.until, asked.width_s)
            ],
        }

    def _intervals(self, trends: Trends, asked: Asked) -> list[Interval]:
        found = trends.intervals(asked.since, asked.until, asked.width_s)
        return [each for each in found if asked.recipe_id in (None, each.recipe_id)]

    def _of_product(self, recipe_id: int, intervals: Sequence[Interval]) -> dict[str, Any]:
        own = [each for each in intervals if each.recipe_id == recipe_id]
        limits = control_limits([(each.sums.reject, each.sums.inspected) for each in own])
        total = sum((each.sums for each in own), Sums())
        return {
            "id": recipe_id,
            "name": self._product(recipe_id),
            **asdict(total),
            "intervals": [_interval(each, limit) for each, limit in zip(own, limits, strict=True)],
        }

    def _product(self, recipe_id: int) -> str:
        criteria = self._plant.station.recipes.get(recipe_id)
        return criteria.recipe.name if criteria else ""

    def _asked(self, request: Request) -> Asked:
        asked = request.query_params
        try:
            until = instant(asked.get("until")) or utc_of(time.monotonic_ns())
            since = instant(asked.get("since")) or until - timedelta(hours=8)
            recipe_id = number(asked.get("recipe"))
        except (ValueError, OverflowError) as error:
            raise RequestError(400, f"not a time or recipe: {error}") from error
        if not timedelta() < until - since <= timedelta(days=_MOST_DAYS):
            raise RequestError(400, f"since must be before until, by at most {_MOST_DAYS} days")
        return Asked(since, until, recipe_id)

    def _looked_up(self, ask: Callable[[Trends], Any]) -> Any:
        try:
            return ask(self._plant.trends)
        except DeviceError as error:
            raise RequestError(503, str(error)) from error


def _range(asked: Asked) -> tuple[datetime, datetime, int | None]:
    return asked.since, asked.until, asked.recipe_id


def _recipes(intervals: Sequence[Interval]) -> list[int]:
    return sorted({each.recipe_id for each in intervals})


def _numbers(sums: Sums) -> tuple[int, int, int]:
    return sums.accept, sums.reject, sums.not_inspected


def _interval(each: Interval, limits: ControlLimits | None) -> dict[str, Any]:
    found: dict[str, Any] = {"utc": iso(each.utc), **asdict(each.sums)}
    return found | ({} if limits is None else {"low": limits.low, "high": limits.high, "centre": limits.centre})


def reason_label(value: int) -> str:
    """The name of a reason in the results, or its number if this version does not know it."""
    try:
        return Reason(value).label
    except ValueError:  # of a newer version
        return str(value)
