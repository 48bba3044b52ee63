"""Whether calibrated limits keep what they promised. It runs in the archive's thread, and only sets a warning."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from pathlib import Path
from typing import Final

from edge_inspector import metrics
from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.promise import Realised
from edge_inspector.records import Verdict
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.store.promises import KeptPromise, kept_promise
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path

log = logging.getLogger(__name__)

SUBJECT: Final = "false rejects"
_PARTS: Final = 2000  # the latest ones: older parts tell little about today's line
_LOOK_S: Final = 30.0
_QUERY_S: Final = 1.0


class PromiseWatch:
    """Compares the latest parts, and what people said of the rejected ones, with the promise of the limits in force.

    Without anybody who looks at rejected parts it cannot know anything, because rejected parts may be bad.
    """

    def __init__(self, state_dir: Path, conditions: Conditions) -> None:
        self._state_dir = state_dir
        self._results = Results(results_path(state_dir), _QUERY_S)
        self._conditions = conditions
        self._latest: deque[tuple[int, bool]] = deque(maxlen=_PARTS)
        self._judged_by = (0, "")
        self._looked_s = -math.inf
        self._broken = False

    def add(self, verdict: Verdict) -> None:
        """Add one part of the product."""
        judged_by = (verdict.boot_id, verdict.recipe_hash)
        if judged_by != self._judged_by:
            self._judged_by = judged_by
            self._latest.clear()
        if verdict.decision is not Decision.NOT_INSPECTED:
            self._latest.append((verdict.seq, verdict.decision is Decision.REJECT))

    def look(self, now_s: float | None = None) -> None:
        """Compare, and report. Call it now and then."""
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        promise = kept_promise(self._state_dir, self._judged_by[1])
        if promise is None:
            self._told("")
            metrics.false_rejects_promised.set(math.nan)
            metrics.false_rejects_realised.set(math.nan)
            return
        try:
            seen = self._realised()
        except DeviceError as error:
            log.warning("the promise of the limits is not compared: %s", error)
            return
        metrics.false_rejects_promised.set(promise.false_rejects)
        metrics.false_rejects_realised.set(seen.share)
        if seen.least > promise.false_rejects:
            self._told(_broken(promise, seen))
        elif seen.share <= promise.false_rejects:
            self._told("")  # between the two neither is sure, so what was told stays

    def _realised(self) -> Realised:
        rejected = [seq for seq, refused in self._latest if refused]
        called = self._results.called(self._judged_by[0], rejected) if rejected else {}
        return Realised(
            inspected=len(self._latest),
            rejected=len(rejected),
            called_good=called.get("good", 0),
            called_bad=called.get("defect", 0),
        )

    def _told(self, why: str) -> None:
        if why:
            self._conditions.set(ErrorCode.DRIFT, SUBJECT, why)
        elif self._broken:
            self._conditions.clear(ErrorCode.DRIFT, SUBJECT)
        self._broken = bool(why)


def _broken(promise: KeptPromise, seen: Realised) -> str:
    return (
        f"{seen.share:.1%} of the last {seen.inspected} parts, promised were {promise.false_rejects:.1%}: "
        f"of {seen.called_good + seen.called_bad} rejected parts that people looked at, {seen.called_good} were good. "
        "Calibrate again"
    )
