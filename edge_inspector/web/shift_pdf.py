"""The shift report as PDF, by the same engine as all other reports."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from edge_inspector import __version__
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.documents import Document
from edge_inspector.errors import DeviceError
from edge_inspector.pdf import pdf_of
from edge_inspector.runtime.clock import iso, utc_of
from edge_inspector.store.challenges import read_challenges
from edge_inspector.store.trends import Sums
from edge_inspector.web.access import Endpoint, RequestError
from edge_inspector.web.asked import instant
from edge_inspector.web.plant import Plant
from edge_inspector.web.trends import reason_label

_MOST_DAYS = 92
_EVENTS = 50
_HOUR_S = 3600


class ShiftReport:
    """The URL /api/shift.pdf."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [Endpoint("GET", "/api/shift.pdf", self._pdf, slow=True)]

    async def _pdf(self, request: Request) -> Response:
        since, until = _period(request)
        try:
            content = pdf_of(self._document(since, until))
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        name = f"shift-{since:%Y%m%d-%H%M}.pdf"
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="application/pdf", headers=disposition)

    def _document(self, since: datetime, until: datetime) -> Document:
        station = self._plant.station.file.station.name
        document = Document(
            f"Shift report of {station}",
            f"{iso(since, 'minutes')} to {iso(until, 'minutes')}. Criteria now: {self._plant.criteria}, model "
            f"{self._plant.model_of().label}. Written at {iso(utc_of(time.monotonic_ns()), 'minutes')} by "
            f"edge-inspector {__version__}.",
        )
        self._tell_parts(document, since, until)
        self._tell_challenges(document, since, until)
        self._tell_events(document, since, until)
        document.findings()
        return document

    def _tell_parts(self, document: Document, since: datetime, until: datetime) -> None:
        trends = self._plant.trends
        width_s = _HOUR_S * max(1, int((until - since).total_seconds() / 48 / _HOUR_S))
        intervals = trends.intervals(since, until, width_s)
        products = sorted({each.recipe_id for each in intervals})
        document.section("Products")
        heads = ["product", "accepted", "rejected", "not inspected", "yield"]
        document.table(
            heads,
            [
                _row(self._product(number), sum((each.sums for each in intervals if each.recipe_id == number), Sums()))
                for number in products
            ],
        )
        if not products:
            document.text("No part was decided in this time.")
        document.section("Over time")
        document.table(
            ["begin", *heads],
            [(iso(each.utc, "minutes"), *_row(self._product(each.recipe_id), each.sums)) for each in intervals],
        )
        document.section("Defects, and parts that were not inspected")
        document.table(["class", "parts"], trends.classes(since, until))
        document.table(
            ["reason", "parts", "because"],
            [(reason_label(value), parts, _because(value)) for value, parts in trends.reasons(since, until)],
        )
        reserves = trends.reserves(since, until, width_s)
        if reserves:
            least = min(each.least_ms for each in reserves)
            document.text(f"Least time from a decision to the gate: {least:.1f} ms.")
        found = trends.quality(since, until)
        document.section("What people found wrong")
        document.table(
            ["product", "model", "looked at", "escapes", "false rejects"],
            [
                (self._product(each.recipe_id), each.model, each.judged, each.escapes, each.false_rejects)
                for each in found
            ],
        )
        escapes = sum(each.escapes for each in found)
        if escapes:
            document.text(f"Bad parts that were accepted, as people found: {escapes}.", "bad")
        if not found:
            document.text("Nobody has looked at parts of this time.")

    def _tell_challenges(self, document: Document, since: datetime, until: datetime) -> None:
        runs = [run for run in read_challenges(self._plant.station.state_dir) if since <= run.utc < until]
        document.section("Challenges")
        document.table(
            ["when", "by", "product", "result"],
            [(iso(run.utc, "minutes"), run.by, self._product(run.recipe_id), run.why or "passed") for run in runs],
        )
        for run in runs:
            if not run.passed:
                document.text(f"The challenge of {iso(run.utc, 'minutes')} was not passed: {run.why}.", "bad")
        parts = sum(len(run.parts) for run in runs)
        document.text(f"{parts} parts above were challenge parts." if parts else "No challenge was made in this time.")

    def _tell_events(self, document: Document, since: datetime, until: datetime) -> None:
        events = self._plant.logbook.events(limit=_EVENTS, since=since, until=until)
        document.section("What went wrong")
        document.table(
            ["begin", "end", "what", "why", "acknowledged by"],
            [
                (
                    iso(each.begun, "minutes"),
                    "now" if each.ended is None else iso(each.ended, "minutes"),
                    _code(each.code, each.subject),
                    each.why,
                    each.acknowledged_by or "",
                )
                for each in events
            ],
        )
        if not events:
            document.text("Nothing.", "good")

    def _product(self, recipe_id: int) -> str:
        criteria = self._plant.station.recipes.get(recipe_id)
        return f"{recipe_id} {criteria.recipe.name}" if criteria else str(recipe_id)


def _period(request: Request) -> tuple[datetime, datetime]:
    asked = request.query_params
    try:
        until = instant(asked.get("until")) or utc_of(time.monotonic_ns())
        since = instant(asked.get("since")) or until - timedelta(hours=8)
    except (ValueError, OverflowError) as error:
        raise RequestError(400, f"not a time: {error}") from error
    if not timedelta() < until - since <= timedelta(days=_MOST_DAYS):
        raise RequestError(400, f"since must be before until, by at most {_MOST_DAYS} days")
    return since, until


def _row(product: str, sums: Sums) -> tuple[object, ...]:
    share = f"{100 * sums.accept / sums.inspected:.1f} %" if sums.inspected else ""
    return product, sums.accept, sums.reject, sums.not_inspected, share


def _because(value: int) -> str:
    try:
        return Reason(value).meaning
    except ValueError:  # of a newer version
        return ""


def _code(value: int, subject: str) -> str:
    try:
        return f"E{value} {ErrorCode(value).name.lower()} {subject}"
    except ValueError:  # of a newer version
        return f"E{value} {subject}"
