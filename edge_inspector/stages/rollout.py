"""The thread that watches what a roll-out has brought, and lets the station restart with it at a stop of the line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from edge_inspector.errors import DeviceError
from edge_inspector.records import Change, Scene, StationStatus
from edge_inspector.runtime.realtime import go_behind
from edge_inspector.store.ledger import RolloutStep, Trial, TrialCounts
from edge_inspector.store.results_file import open_results
from edge_inspector.watches.rollout import finding
from edge_inspector.watches.rollout_desk import RolloutDesk
from edge_inspector.watches.rollout_told import RolloutTeller
from edge_inspector.watches.shadow import ShadowTally

log = logging.getLogger(__name__)

_LOOK_S = 0.25
_SHOWS_S = 0.2  # from a picture until the judge has its part
_COUNT_S = 2.0
_KEEP_S = 10.0
_QUERY_S = 2.0


class Rollout:
    """Counts, judges the trial, and changes at a stop. `leave()` ends the daemon, which its service starts again.

    A stop is `quiet_s` without a part, neither on the belt nor decided, and without a challenge (`challenged()`).
    `hold()` refuses calls for parts from now on, and says whether one waits for its picture. `release()` takes calls
    again.
    """

    name = "rollout"
    beat_within_s = 60.0  # the page may hold the ledger while it checks a large model

    def __init__(
        self,
        desk: RolloutDesk,
        *,
        results: Path,
        quiet_s: float,
        tally: ShadowTally,
        status: Callable[[], StationStatus],
        scene: Callable[[], Scene],
        challenged: Callable[[], bool],
        hold: Callable[[], bool],
        release: Callable[[], None],
        keep: Callable[[Change], object],
        leave: Callable[[], None],
        teller: RolloutTeller,
    ) -> None:
        self._desk = desk
        self._results = results
        self._quiet_s = quiet_s
        self._tally = tally
        self._status = status
        self._scene = scene
        self._challenged = challenged
        self._hold = hold
        self._release = release
        self._keep = keep
        self._leave = leave
        self._teller = teller
        self._left = False
        self._decided = -1
        self._busy_s = self._counted_s = self._kept_s = time.monotonic()
        trial = desk.ledger.trial
        self._before = trial.counts if trial is not None else TrialCounts()
        self._step = trial.step if trial is not None else None

    def start(self) -> None:
        """See whether somebody has edited the files meanwhile. They win."""
        go_behind()
        self._busy_s = time.monotonic()
        self._desk.refuse_void()

    def step(self) -> None:
        """Look once."""
        time.sleep(_LOOK_S)
        stands = self._stands()
        self._tell()
        trial = self._desk.ledger.trial
        if trial is None or self._left:
            return
        try:
            self._watch(trial)
            if stands:
                self._change()
        except DeviceError as error:
            log.warning("roll-out %s: %s", trial.id, error)

    def stop(self, *, failed: bool) -> None:
        """The station ends in order, so what is on trial has not ended it."""
        trial = self._desk.ledger.trial
        if failed or self._left or trial is None or trial.step is RolloutStep.WAITS:
            return
        try:
            self._desk.note(starts=0, counts=self._counts(trial))
        except DeviceError as error:
            log.warning("roll-out %s: %s", trial.id, error)

    def _tell(self) -> None:
        try:
            self._teller.look()
        except DeviceError as error:
            log.warning("roll-out: %s", error)

    def _watch(self, trial: Trial) -> None:
        now_s = time.monotonic()
        if trial.step is RolloutStep.WAITS or now_s - self._counted_s < _COUNT_S:
            return
        self._counted_s = now_s
        counts = self._counts(trial)
        found = finding(trial.model_copy(update={"counts": counts}))
        if found.breach and trial.wanted is not RolloutStep.BACK:
            log.warning("roll-out %s of %s goes back at the next stop: %s", trial.id, trial.name, found.breach)
            self._desk.note(wanted=RolloutStep.BACK, said=found.breach, passed=False, counts=counts, unseen=True)
            self._keep(Change("station", "rollout watch", trial.replaces, before=trial.name, why=found.breach))
        elif found.passed and not trial.passed:
            log.info("roll-out %s: %s has passed as %s", trial.id, trial.name, trial.step)
            self._desk.note(passed=True, counts=counts)
        elif counts != trial.counts and now_s - self._kept_s >= _KEEP_S:
            self._kept_s = now_s
            self._desk.note(counts=counts)

    def _counts(self, trial: Trial) -> TrialCounts:
        """Pictures from the shadow's thread, and parts from the results, so that no clock counts."""
        before, tally = self._before, self._tally
        if trial.step is not self._step:
            return trial.counts
        parts, not_accepted = self._parts_after(trial.after_id) if trial.step is RolloutStep.JUDGES else (0, 0)
        return TrialCounts(
            accepted=before.accepted + tally.accepted,
            rejected=before.rejected + tally.rejected,
            missed=before.missed + tally.missed,
            more=before.more + tally.more,
            failed=tally.failed,
            parts=parts,
            not_accepted=not_accepted,
        )

    def _change(self) -> None:
        trial = self._desk.ledger.trial
        if trial is None or trial.wanted is None:
            return
        try:
            if self._still_stands():
                last_id, rate = self._rate(trial.bounds.parts)
                change = self._desk.change(after_id=last_id, rate_before=rate)
                if change is not None:
                    self._left = True
                    before, after = change.before, change.after
                    log.warning("roll-out %s: restart from %s to %s: %s", trial.id, before, after, change.why)
                    self._leave()
        finally:
            if not self._left:
                self._release()

    def _still_stands(self) -> bool:
        """Whether nothing came since the last look. A part that was called before shows itself meanwhile."""
        self._hold()
        time.sleep(_SHOWS_S)
        return not self._hold() and self._stands()

    def _stands(self) -> bool:
        decided, now_s = self._status().parts, time.monotonic()
        if decided != self._decided or self._scene().parts or self._challenged():
            self._decided, self._busy_s = decided, now_s
        return now_s - self._busy_s >= self._quiet_s

    def _parts_after(self, part_id: int) -> tuple[int, int]:
        try:
            with open_results(self._results, limit_s=_QUERY_S) as db:
                query = "SELECT count(*), coalesce(sum(decision <> 1), 0) FROM parts WHERE id > ?"
                parts, not_accepted = db.execute(query, (part_id,)).fetchone()
        except DeviceError as error:
            log.debug("%s", error)
            return 0, 0
        return parts, not_accepted

    def _rate(self, most: int) -> tuple[int, float]:
        """The number of the newest part, and the share of the latest ones that were not accepted."""
        try:
            with open_results(self._results, limit_s=_QUERY_S) as db:
                query = (
                    "SELECT coalesce(max(id), 0), coalesce(avg(decision <> 1), 0.0)"
                    " FROM (SELECT id, decision FROM parts ORDER BY id DESC LIMIT ?)"
                )
                last_id, rate = db.execute(query, (most,)).fetchone()
        except DeviceError as error:
            log.debug("%s", error)
            return 0, 0.0
        return last_id, rate
