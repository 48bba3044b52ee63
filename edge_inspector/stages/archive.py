"""The archive's thread: it stores verdicts, their deliveries, and the pictures that are worth keeping.

It has the lowest priority of all threads. Items that it cannot keep are counted and dropped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.errors import DeviceError
from edge_inspector.records import (
    ArchiveItem,
    ChallengeRun,
    Change,
    Choice,
    Delivery,
    Disagreement,
    Verdict,
)
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.clock import Moment, moment
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.realtime import go_last
from edge_inspector.station.tables import ArchiveTable
from edge_inspector.store.album import Album
from edge_inspector.store.allowance import Allowance
from edge_inspector.store.audit import AuditTrail
from edge_inspector.store.challenges import StoredChallenge, append_challenge, stored
from edge_inspector.store.choice import remember_choice
from edge_inspector.store.forgetting import Forgetting
from edge_inspector.store.forwarded import read_forwarded
from edge_inspector.store.images import ImageArchive, ImageLimits
from edge_inspector.store.lock import StateLock
from edge_inspector.store.pictures import picture_stem
from edge_inspector.store.results_file import images_dir, results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredObjection, StoredVerdict
from edge_inspector.store.rolls import RollBook
from edge_inspector.store.sidecar import StationFacts, kept_because, objection_facts, view_facts
from edge_inspector.watches.drift import DriftWatch
from edge_inspector.watches.pictures import PictureGuards
from edge_inspector.watches.promise import PromiseWatch

log = logging.getLogger(__name__)

_COMMIT_S = 0.2
_HELD_MAX = 1024  # items that wait here while the disk takes none. The mailbox holds more.
_HURRY = 256  # if more items wait, no pictures are saved: results come first
_EARLY_MAX = 64
_OBJECTIONS_MAX = 32  # few, because each one carries a mask
_CHALLENGES_MAX = 64  # that wait while the disk takes none
_CALM_S = 30.0  # the trouble is over after this long without an error
_TIDY_NS = 1_000_000_000
_GUARD_NS = 500_000_000  # between two checks that the files are still there


@dataclass(slots=True)
class Held:
    """Items that have arrived and are not in the results yet."""

    entries: list[StoredVerdict] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    objections: list[StoredObjection] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.entries) + len(self.deliveries) + len(self.objections)


class Archive:
    """Owns results and pictures in `state_dir`.

    `busy()`: whether more frames wait than the model can take at once. `edited()`: changes that somebody made by hand.
    `forward_within_s`: how long results may wait until they go to the plant's store. None: they go nowhere.
    """

    name = "archive"
    beat_within_s = 60.0  # a throttled disk may take this long

    def __init__(
        self,
        state_dir: Path,
        *,
        settings: ArchiveTable,
        facts: StationFacts,
        inbox: Mailbox[ArchiveItem],
        album: Album,
        drift: DriftWatch,
        guards: PictureGuards,
        conditions: Conditions,
        lock: StateLock | None = None,
        clock: Callable[[], Moment] = moment,
        busy: Callable[[], bool] = lambda: False,
        forward_within_s: float | None = None,
        edited: Callable[[], list[Change]] = list,
    ) -> None:
        self._state_dir = state_dir
        self._settings = settings
        self._facts = facts
        self._inbox = inbox
        self._album = album
        self._drift = drift
        self._guards = guards
        self._conditions = conditions
        self._lock = lock
        self._clock = clock
        self._busy = busy
        self._forward_within_s = forward_within_s
        self._edited = edited
        self._forgetting = Forgetting(
            conditions,
            keep_days=settings.keep_days,
            keep_mb=settings.keep_mb,
            forwarded_from=None if forward_within_s is None else state_dir,
        )
        self._audit = AuditTrail(state_dir)
        self._challenges: list[StoredChallenge] = []
        self._rolls = RollBook(state_dir)
        self._promise = PromiseWatch(state_dir, conditions)
        self._choice: Choice | None = None
        self._results: ResultsWriter | None = None
        self._images: ImageArchive | None = None
        self._backoff = Backoff(first_s=0.2, longest_s=5.0)
        self._held = Held()
        self._allowance = Allowance(settings.pictures_per_s)
        self._seen_seq = 0
        self._troubles: dict[tuple[ErrorCode, str], float] = {}
        self._tidied_ns = 0
        self._guarded_ns = 0

    def start(self) -> None:
        """Nothing is open yet. The first step tries."""
        go_last()
        self._guards.look()

    def step(self) -> None:
        """Commit all items of a tenth of a second together, then save their pictures."""
        until = time.monotonic() + _COMMIT_S / 2
        if self._take(_COMMIT_S / 2):
            time.sleep(max(0.0, until - time.monotonic()))
            self._take(0.0)
        self._guard()
        self._write_changes()
        with self._telling("rolls"):
            self._rolls.write()
        if self._backoff.due(wait_s=_COMMIT_S):
            self._keep_pictures(self._commit())
        self._tidy()

    def stop(self, *, failed: bool) -> None:
        """Write the items that are left, without pictures, and close the files."""
        if not failed:
            self._commit()  # makes room for the items that still wait
            while self._take(0.0):
                self._commit()
        if self._held.entries:
            log.warning("archive: %d verdicts were not written", len(self._held.entries))
        self._write_changes()
        with self._telling("rolls"):
            self._rolls.write()
            self._rolls.end()
        self._forgetting.tell(self._clock(), at_once=True)
        self._close()

    def _take(self, timeout_s: float) -> bool:
        """Take items from the mailbox if there is room. Whether there were any."""
        room = _HELD_MAX - len(self._held)
        items = self._inbox.take(min(64, room), timeout_s) if room > 0 else []
        for item in items:
            self._hold(item)
        metrics.mailbox_items.labels(self._inbox.name).set(len(self._inbox))
        return bool(items)

    def _hold(self, item: ArchiveItem) -> None:
        held = self._held
        if isinstance(item, Delivery):
            held.deliveries.append(item)
        elif isinstance(item, Choice):
            self._remember(item)
        elif isinstance(item, ChallengeRun):
            self._hold_challenge(item)
        elif isinstance(item, Change):
            if not self._audit.add(item):
                metrics.archive_left_out.labels("change").inc()
        elif isinstance(item, Verdict):
            held.entries.append(self._entry(item))
            if not item.challenge:  # these parts are no sample of the product
                self._drift.add(item)
                self._promise.add(item)
                self._guards.add(item)
            if item.stretch is not None and not self._rolls.add(item.stretch, _piece_of(item), self._clock().utc):
                metrics.archive_left_out.labels("piece").inc()
            self._seen_seq = item.seq
        elif len(held.objections) < _OBJECTIONS_MAX:
            held.objections.append(_objection(item, self._clock()))
        else:
            metrics.archive_left_out.labels("disagreement").inc()

    def _hold_challenge(self, run: ChallengeRun) -> None:
        if len(self._challenges) >= _CHALLENGES_MAX:
            metrics.archive_left_out.labels("challenge").inc()
            return
        self._challenges.append(stored(run, self._clock().utc_at(run.ended_ns)))
        result = "passed" if run.passed else "failed"
        change = Change(run.who, "challenge", f"recipe {run.recipe_id}", before="begun", after=result, why=run.why)
        if not self._audit.add(change):
            metrics.archive_left_out.labels("change").inc()

    def _remember(self, choice: Choice) -> None:
        self._choice = choice
        try:
            remember_choice(self._state_dir, choice.configured, choice.chosen)
        except DeviceError as error:
            log.error("%s. A restart would begin with another one", error)  # noqa: TRY400 -- the message says it all

    def _entry(self, verdict: Verdict) -> StoredVerdict:
        utc = self._clock().utc_at(verdict.decided_ns)
        # A frame that never arrived whole has no picture.
        views = [placed.view for placed in verdict.views if placed.view.failure is not Reason.INCOMPLETE_FRAME]
        why = kept_because(verdict, self._settings.accepted_one_in)
        if why and not self._allowance.take(why, len(views), verdict.decided_ns, busy=self._busy()):
            metrics.archive_left_out.labels("sampled").inc(len(views))
            why = ""
        number, shown = verdict.part.part_seq, views if why else ()
        stems = {view.camera: picture_stem(utc, view.camera, number, view.frame_id) for view in shown}
        return StoredVerdict(verdict, utc, why, stems)

    def _write_changes(self) -> None:
        if len(self._audit):
            with self._telling("audit"):
                self._audit.write(self._clock().utc)
        with self._telling("challenges"):
            while self._challenges:
                append_challenge(self._state_dir, self._challenges[0])
                self._challenges.pop(0)

    def _commit(self) -> Held:
        """Commit the held items. Returns those that are now in the results."""
        held = self._held
        # A link may be quicker than the judge. A delivery waits if its verdict is not here yet.
        early = [delivery for delivery in held.deliveries if delivery.seq > self._seen_seq][-_EARLY_MAX:]
        held.deliveries = [delivery for delivery in held.deliveries if delivery.seq <= self._seen_seq]
        try:
            if self._results is not None and self._results.broken:
                self._close()
            if self._results is None:
                self._results = ResultsWriter(results_path(self._state_dir))
                if self._results.set_aside:
                    self._trouble("results", _damaged(results_path(self._state_dir)), ErrorCode.STATE_LOST)
            if held:
                self._results.add(held.entries, held.deliveries, held.objections)
        except DeviceError as error:
            self._trouble("results", str(error))
            self._backoff.failed()
            held.deliveries += early
            return Held()
        self._backoff.succeeded()
        self._held = Held(deliveries=early)
        return held

    def _keep_pictures(self, kept: Held) -> None:
        for entry in kept.entries:
            for placed in entry.verdict.views:
                view = placed.view
                if view.camera in entry.stems:
                    facts = view_facts(entry, placed, self._facts)
                    model = self._facts.masks[entry.verdict.recipe_id].model
                    self._keep(view.camera, view.frame_id, stem=entry.stems[view.camera], facts=facts, of=model)
        for objection in kept.objections:
            said = objection.said
            facts = objection_facts(objection, self._facts)
            self._keep(said.camera, said.frame_id, stem=objection.stem, facts=facts, of=said)
        for entry in kept.entries:
            for placed in entry.verdict.views:
                self._album.release(placed.view.camera, placed.view.frame_id)

    def _keep(self, camera: str, frame_id: int, *, stem: str, facts: dict[str, object], of: str | Disagreement) -> None:
        trouble = self._save(camera, frame_id, stem=stem, facts=facts, of=of)
        if trouble:
            metrics.archive_left_out.labels("picture").inc()
            self._trouble("pictures", trouble)
        else:
            metrics.archive_pictures.labels(str(facts["kept_because"])).inc()

    def _save(self, camera: str, frame_id: int, *, stem: str, facts: dict[str, object], of: str | Disagreement) -> str:
        """Why the picture could not be kept, or "". Its mask is that `of` a model, or of what the shadow model said."""
        if len(self._inbox) > _HURRY:
            return "the disk is too slow: results come first"
        picture = self._album.get(camera, frame_id)
        if picture is None:
            return "a picture was no longer in memory: archive.album_mb is too small, or the disk is slow"
        picture = replace(picture, mask=picture.by(of) if isinstance(of, str) else of.mask)
        try:
            if self._images is None:
                self._images = self._open_images()
            if not self._images.save(stem, picture, facts):
                return "no room: the disk has less than archive.min_free_mb free"
        except DeviceError as error:
            return str(error)
        return ""

    def _open_images(self) -> ImageArchive:
        chosen = self._settings
        limits = ImageLimits(chosen.images_mb * 2**20, chosen.min_free_mb * 2**20)
        return ImageArchive(images_dir(self._state_dir), limits, chosen.image_format)

    def _guard(self) -> None:
        """Notice open files that were removed. New items then go into new files."""
        now_ns = time.monotonic_ns()
        if now_ns - self._guarded_ns < _GUARD_NS:
            return
        self._guarded_ns = now_ns
        if self._lock is not None and (why := self._lock.renew()):
            self._trouble("lock", why, ErrorCode.STATE_LOST)
        if self._results is not None and not self._results.broken and (lost := self._results.lost):
            self._close()
            self._lose("results", lost)
        if self._images is not None and (lost := self._images.lost):
            self._images = None
            self._lose("pictures", lost)

    def _lose(self, what: str, path: Path) -> None:
        self._trouble(
            what, f"{path} was removed or replaced while the station ran. A new one was started", ErrorCode.STATE_LOST
        )
        if self._choice is not None:  # its file may be missing too
            with suppress(OSError):
                self._state_dir.mkdir(parents=True, exist_ok=True)
            self._remember(self._choice)

    def _watch_store(self, results: ResultsWriter, now: Moment) -> None:
        """Measure how far the plant's store is behind."""
        if self._forward_within_s is not None:
            since = results.waiting_since(read_forwarded(self._state_dir))
            lag_s = 0.0 if since is None else (now.utc - since).total_seconds()
            metrics.forward_lag_s.set(max(0.0, lag_s - self._forward_within_s))

    def _tidy(self) -> None:
        now = self._clock()
        if self._tidied_ns and now.monotonic_ns - self._tidied_ns < _TIDY_NS:
            return
        self._tidied_ns = now.monotonic_ns
        with self._telling("pictures"):
            if self._images is None and images_dir(self._state_dir).is_dir():
                self._images = self._open_images()  # the pictures of an earlier run must expire too
        with self._telling("results"):
            if self._results is not None and not self._results.broken:
                self._forgetting.look(now, self._results, self._images)
                self._forgetting.tidy_results(self._results, now)
                metrics.archive_bytes.labels("results").set(self._results.size)
                self._watch_store(self._results, now)
        with self._telling("pictures"):
            if self._images is not None:
                self._forgetting.tidy_pictures(self._images, now)
                metrics.archive_bytes.labels("pictures").set(self._images.size)
        self._forgetting.tell(now)
        self._look_for_edits()
        self._drift.look()
        self._promise.look()
        self._guards.look()
        self._calm_down(time.monotonic())

    def _look_for_edits(self) -> None:
        if len(self._audit):
            return  # what waits for the disk is not in the trail yet, and would look like an edit
        with self._telling("audit"):
            for change in self._edited():
                self._audit.add(change)

    def _calm_down(self, now_s: float) -> None:
        for (code, what), since_s in list(self._troubles.items()):
            waits = what == "results" and (self._results is None or bool(self._held.entries))
            waits = waits or (what == "audit" and len(self._audit) > 0)
            waits = waits or (what == "challenges" and bool(self._challenges))
            waits = waits or (what == "rolls" and len(self._rolls) > 0)
            if now_s - since_s > _CALM_S and not waits:
                del self._troubles[code, what]
                self._conditions.clear(code, what)

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except DeviceError as error:
            self._trouble(what, str(error))

    def _trouble(self, what: str, why: str, code: ErrorCode = ErrorCode.ARCHIVE_INCOMPLETE) -> None:
        self._troubles[code, what] = time.monotonic()
        self._conditions.set(code, what, why)

    def _close(self) -> None:
        results, self._results = self._results, None
        if results is not None:
            with suppress(DeviceError):
                results.close()


def _objection(said: Disagreement, now: Moment) -> StoredObjection:
    utc = now.utc_at(said.captured_ns)
    return StoredObjection(said, utc, picture_stem(utc, said.camera, None, said.frame_id))


def _piece_of(verdict: Verdict) -> tuple[str, str]:
    return verdict.decision.name, verdict.reason.label


def _damaged(path: Path) -> str:
    return f"{path} was damaged. It is kept as .damaged, and a new one was started"
