"""The drift watch, which runs in the archive's thread. It only sets metrics and a warning."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_inspector import metrics
from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.errors import ConfigError
from edge_inspector.inspection.drift import DriftWindow, RejectRate
from edge_inspector.inspection.reference import read_reference, reference_path
from edge_inspector.records import Verdict
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.station.tables import DriftTable

log = logging.getLogger(__name__)

_POINTS = 60  # of the control chart that people see
_BACK = 0.8  # of the limit: the warning ends only clearly below the limit
_REJECTS = "reject rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftState:
    """How far the line is from its reference: an index for each (subject, quantity), and the control chart."""

    reference_parts: int
    since_utc: datetime
    until_utc: datetime
    limit: float
    indices: Mapping[tuple[str, str], float]
    chart: tuple[RejectRate, ...]


class DriftWatch:
    """Compares the latest parts with the reference of their recipe, if `edge-inspector reference` has made one."""

    def __init__(self, state_dir: Path, settings: DriftTable, conditions: Conditions) -> None:
        self._state_dir = state_dir
        self._settings = settings
        self._conditions = conditions
        self._recipe_id = 0
        self._version = 0
        self._window: DriftWindow | None = None
        self._warned: set[str] = set()
        self._chart: deque[RejectRate] = deque(maxlen=_POINTS)
        self._parts = self._charted = 0
        self.state: DriftState | None = None  # any thread may read it

    def add(self, verdict: Verdict) -> None:
        """Add one part."""
        if verdict.recipe_id != self._recipe_id:
            self._recipe_id, self._version = verdict.recipe_id, 0
            self._load()
        window = self._window
        if window is None or verdict.decision is Decision.NOT_INSPECTED:
            return
        window.add_part(rejected=verdict.decision is Decision.REJECT)
        self._parts += 1
        for placed in verdict.views:
            camera, seen = placed.view.camera, placed.view.figures
            if seen is None:
                continue
            window.add(camera, "brightness", seen.brightness)
            window.add(camera, "sharpness", seen.sharpness)
            if seen.confidence is not None:
                window.add(camera, "confidence", seen.confidence)
        for defect in verdict.defects:
            window.add(defect.defect_class, "area", defect.area_mm2)

    def look(self) -> None:
        """Load a new reference if there is one, and report drift. Call it now and then."""
        self._load()
        window = self._window
        if window is None:
            self.state = None
            return
        indices = window.drift()
        for (subject, quantity), index in indices.items():
            metrics.drift_psi.labels(subject, quantity).set(index)
            limit = self._settings.psi_limit * (_BACK if f"{subject} {quantity}" in self._warned else 1)
            why = f"index {index:.2f}, the limit is {self._settings.psi_limit:g}"
            self._warn(f"{subject} {quantity}", why if index > limit else "")
        chart = window.reject_rate()
        if chart is not None:
            # points closer together would be nearly equal
            if self._parts - self._charted >= self._settings.window_parts / 10:
                self._chart.append(chart)
                self._charted = self._parts
            metrics.reject_rate.set(chart.rate)
            metrics.reject_rate_low.set(chart.low)
            metrics.reject_rate_high.set(chart.high)
            why = f"{chart.rate:.1%}, by chance alone {chart.low:.1%} to {chart.high:.1%}"
            self._warn(_REJECTS, "" if chart.in_control else why)
        learnt = window.reference
        self.state = DriftState(
            reference_parts=learnt.parts,
            since_utc=learnt.since_utc,
            until_utc=learnt.until_utc,
            limit=self._settings.psi_limit,
            indices=indices,
            chart=(*self._chart, *([chart] if chart else [])),
        )

    def _warn(self, subject: str, why: str) -> None:
        if why:
            self._warned.add(subject)
            self._conditions.set(ErrorCode.DRIFT, subject, why)
        else:
            self._warned.discard(subject)
            self._conditions.clear(ErrorCode.DRIFT, subject)

    def _load(self) -> None:
        path = reference_path(self._state_dir, self._recipe_id)
        try:
            version = path.stat().st_mtime_ns
        except OSError:
            version = 0
        if version == self._version and (version or self._window is None):
            return
        self._version, self._window = version, None
        self._chart.clear()
        self._parts = self._charted = 0
        metrics.drift_psi.clear()
        for subject in list(self._warned):
            self._warn(subject, "")
        if not version:
            return
        try:
            reference = read_reference(path)
        except ConfigError as error:
            log.error("no drift watch: %s. Learn it again with edge-inspector reference", error.faults[0])  # noqa: TRY400 -- the fault says it all
            return
        self._window = DriftWindow(reference, self._settings.window_parts)
        log.info("drift watch: reference of recipe %d, learnt from %d parts", reference.recipe_id, reference.parts)
