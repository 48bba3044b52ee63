"""What the live page says about the product, the counts and the events that wait for a person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from edge_inspector.codes import Decision
from edge_inspector.records import Verdict
from edge_inspector.runtime.clock import iso
from edge_inspector.watches.tally import Span
from edge_inspector.web.events import told
from edge_inspector.web.plant import Plant

_QUIET_S = 5.0  # a belt with parts has a verdict more often


def product_now(plant: Plant) -> dict[str, Any]:
    """Product, counts, and what waits for a person."""
    noted, recipe = plant.noted(), plant.recipe
    spans = {"shift": noted.shift, "batch": noted.batch, "reset": noted.reset}
    return {
        "product": {"id": recipe.id, "name": recipe.name},
        "counts": {name: _span(span) for name, span in spans.items() if span is not None},
        "held": [told(event) for event in noted.waiting if event.fault],
        "waiting": noted.waiting_count,
    }


def idle_now(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How long ago the last part was decided, and whether what is shown of it is `old`.

    It is old after twice the time that this part had from the photo-eye to the gate.
    """
    if not verdicts:
        return {"idle_s": None, "old": False}
    last = verdicts[-1]
    idle_s = (time.monotonic_ns() - last.decided_ns) / 1e9
    way_s = max(0, last.due_ns - last.part.announced_ns) / 1e9
    return {"idle_s": idle_s, "old": idle_s > max(_QUIET_S, 2 * way_s)}


def rejects_in_a_row(verdicts: Sequence[Verdict]) -> int:
    """How many of the latest inspected parts were rejected, without an accepted one between them."""
    row = 0
    for verdict in reversed(verdicts):
        if verdict.decision is Decision.ACCEPT:
            break
        row += verdict.decision is Decision.REJECT
    return row


def _span(span: Span) -> dict[str, Any]:
    sums = span.sums
    counted = (
        None if sums is None else {"accept": sums.accept, "reject": sums.reject, "not_inspected": sums.not_inspected}
    )
    return {"since": iso(span.since), "name": span.name, "by": span.user, "parts": counted}
