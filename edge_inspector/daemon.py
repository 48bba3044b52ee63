"""The daemon's life cycle in one place: start, supervise, stop in order."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import cv2

from edge_inspector import __version__, metrics
from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.errors import ConfigError
from edge_inspector.inspection.mask_watch import advice, remarks
from edge_inspector.pipeline import Pipeline, build
from edge_inspector.records import ArchiveItem, Choice
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.realtime import claim, opening_on, settle
from edge_inspector.runtime.supervisor import Supervisor
from edge_inspector.runtime.systemd import notify
from edge_inspector.runtime.worker import Worker
from edge_inspector.segmenters.models import Models
from edge_inspector.station.load import Station, load_station
from edge_inspector.store.choice import remembered_choice
from edge_inspector.store.lock import StateLock
from edge_inspector.store.logbook import LogbookReader, logbook_path
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.state_folder import folder_words
from edge_inspector.store.trends import Trends
from edge_inspector.watches.criteria import CriteriaWatch
from edge_inspector.web.health import health
from edge_inspector.web.plant import Plant
from edge_inspector.web.server import Web
from edge_inspector.wiring.line import line_geometry

_T = TypeVar("_T")

log = logging.getLogger(__name__)

_WATCH_S = 0.25
_LATE_S = 2.0  # between two tries while something is missing
_WATCHDOG_S = 1.0
_STOP_NS = 1_500_000_000
_NOT_FOR_OTHERS = 0o027  # umask: only the daemon's user may write its files, and only its group may read them


def load_patiently(path: Path) -> Station:
    """The station in `path`. Raises ConfigError, but not for what may come by itself, such as a late disk."""
    return _patiently(lambda: load_station(path))


def _patiently(act: Callable[[], _T], stop: threading.Event | None = None) -> _T:
    """The result of `act`. It tries again as long as every fault may disappear without a change of files.

    Raises ConfigError for other faults, SystemExit if `stop` is set while it waits.
    """
    told, stop = "", stop or threading.Event()
    while True:
        try:
            return act()
        except ConfigError as error:
            if not all(fault.may_come for fault in error.faults):
                raise
            if str(error) != told:
                told = str(error)
                log.warning("waiting: %s", told)
                notify(f"STATUS=waiting: {told.splitlines()[0]}")
        if stop.wait(_LATE_S):
            sys.exit(0)


class Daemon:
    """One station, running. `run` returns the exit code."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._conditions = Conditions()
        self._boot_id = secrets.randbelow(2**32 - 1) + 1
        self._stop = threading.Event()
        self._lock = StateLock(station.state_dir)
        self._recipe_id = station.recipe.id
        self._basis = station.basis()
        self._criteria = CriteriaWatch(station.state_dir, self._basis, station.recipes, self._conditions)
        self._ever_held: set[tuple[ErrorCode, str]] = set()
        self._signals = 0

    def run(self) -> int:
        """Start, supervise until a signal arrives, and stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        os.umask(os.umask(_NOT_FOR_OTHERS) | _NOT_FOR_OTHERS)
        pipeline, supervisor = self._start()
        try:
            self._supervise(pipeline, supervisor)
        finally:
            code = self._halt(pipeline, supervisor)
        return code

    def _start(self) -> tuple[Pipeline, Supervisor]:
        station, realtime = self._station, self._station.file.realtime
        sys.setswitchinterval(realtime.switch_interval_ms / 1000)
        # OpenCV's own threads yield in a loop while they wait for the next picture. Each camera has a thread already.
        cv2.setNumThreads(1)
        claim(realtime.fifo_priority, lock_memory=realtime.lock_memory)
        try:
            station.state_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._begin_without_state(error)
        self._lock.take(self._stop)
        with opening_on(realtime.model_cores):
            _patiently(partial(station.models.preload, station.file.segmenter.preload_mb), self._stop)
        for info in station.models.infos.values():
            for what in filter(None, (info.blind, *remarks(info), advice(info))):
                log.warning("model %s: %s", info.label, what)
        for what in station.untrusted:
            self._conditions.set(ErrorCode.UNTRUSTED, "files", what)
        chosen = remembered_choice(station.state_dir, station.recipe.id)
        self._recipe_id = chosen if chosen in station.recipes else station.recipe.id
        pipeline = build(
            station,
            boot_id=self._boot_id,
            conditions=self._conditions,
            first_recipe=self._recipe_id,
            lock=self._lock,
            leave=self._stop.set,
        )
        if self._recipe_id != station.recipe.id:
            pipeline.keep(Choice(station.recipe.id, self._recipe_id))
        web = Web(station.file.web, lambda: self._page(pipeline), self._conditions)
        workers = [*pipeline.workers, Worker(web, vital=False)]
        self._supervisor = Supervisor(workers, on_fault=self._on_fault, on_restart=self._on_restart)
        self._announce()
        self._declare()
        settle(freeze=realtime.gc_freeze)
        self._supervisor.start()
        self._conditions.phase(StationState.READY)
        notify("READY=1\nSTATUS=running")
        return pipeline, self._supervisor

    def _begin_without_state(self, error: OSError) -> None:
        """Start and judge parts although the state folder is missing.

        The threads that write into the folder try again, because it may be mounted late.
        """
        folder, first = self._station.state_dir, self._station.recipe.id
        why = f"station.state_dir {folder}: {folder_words(folder, error)}"
        log.warning("%s. The daemon tries again", why)
        if len(self._station.recipes) > 1:
            why += f". The recipe chosen last is not known, so recipe {first} judges. Choose again, then give RESET"
            self._conditions.set(ErrorCode.STATE_LOST, "recipe", why, until_reset=True)

    def _page(self, pipeline: Pipeline) -> Any:
        from edge_inspector.web.app import make_app  # noqa: PLC0415 -- in the page's thread: it takes a while

        return make_app(self._plant(pipeline))

    def _plant(self, pipeline: Pipeline) -> Plant:
        return Plant(
            station=self._station,
            boot_id=self._boot_id,
            geometry=line_geometry(self._station),
            conditions=self._conditions,
            timeline=pipeline.timeline,
            album=pipeline.album,
            results=Results(results_path(self._station.state_dir)),
            scene=pipeline.scene,
            status=pipeline.status,
            submit=pipeline.submit,
            keep=pipeline.keep,
            write=pipeline.write,
            noted=pipeline.noted,
            logbook=LogbookReader(logbook_path(self._station.state_dir)),
            trends=Trends(results_path(self._station.state_dir)),
            health=partial(self._health, pipeline),
            drift=pipeline.drift,
            guards=pipeline.guards,
            cameras=pipeline.cameras,
            challenges=pipeline.challenges,
            recorder=pipeline.recorder,
            rollout=pipeline.desk,
        )

    def _follow_recipe(self, recipe_id: int, keep: Callable[[ArchiveItem], object]) -> None:
        if recipe_id == self._recipe_id:
            return
        if keep(Choice(self._station.recipe.id, recipe_id)) is None:  # otherwise the choice is tried again
            self._recipe_id = recipe_id
            self._announce()

    def _announce(self) -> None:
        station, model = self._station, self._basis.model_of(self._recipe_id)
        recipe = station.recipes[self._recipe_id].recipe
        metrics.station_info.info(
            {
                "station": station.file.station.name,
                "version": __version__,
                "recipe": f"{recipe.id}/{recipe.fingerprint}",
                "model": model.label,
                "criteria": self._basis.fingerprint(recipe.id),
                "provider": model.provider,
            }
        )
        log.info(
            "station %s, boot %08x: recipe %d %s, model %s on %s, criteria %s, %d cameras, links %s",
            station.file.station.name,
            self._boot_id,
            recipe.id,
            recipe.name,
            model.label,
            model.provider,
            self._basis.fingerprint(recipe.id),
            len(station.file.cameras),
            ", ".join(link.name for link in station.file.plcs),
        )

    def _declare(self) -> None:
        """Start the metrics that exist from the beginning, and those that are computed at each scrape."""
        file, models, folder = self._station.file, self._station.models, self._station.state_dir
        metrics.begin(
            (camera.name for camera in file.cameras),
            (link.name for link in file.plcs),
            (worker.name for worker in self._supervisor.workers),
        )
        for provider in ("tensorrt", "cuda", "openvino", "cpu", "remote"):
            # Looked up at each scrape, because a rebuilt session may use another provider.
            metrics.execution_provider.labels(provider).set_function(partial(_runs_on, models, provider))
        metrics.provider_fallback.set_function(lambda: float(any(each.fell_back for each in models.infos.values())))
        metrics.state_disk_free.set_function(lambda: _disk(folder)[0])
        metrics.state_disk_size.set_function(lambda: _disk(folder)[1])

    def _supervise(self, pipeline: Pipeline, supervisor: Supervisor) -> None:
        told = (StationState.STARTING, ErrorCode.NONE)
        shown: list[tuple[ErrorCode, str]] = []
        next_dog_s, resets = 0.0, 0
        while not self._stop.wait(_WATCH_S):
            if resets != self._conditions.resets:
                resets = self._conditions.resets
                supervisor.forgive()
                self._criteria.acknowledge()
            if self._criteria.look(pipeline.keep):
                self._announce()
            supervisor.watch()
            self._follow_recipe(pipeline.status().recipe_id, pipeline.keep)
            now = (self._conditions.state, self._conditions.error_code)
            if now != told:
                told = now
                self._tell(*now)
            held = self._conditions.snapshot()
            if held != shown:
                shown = held
                self._show(held)
            if time.monotonic() >= next_dog_s and supervisor.healthy:
                next_dog_s = time.monotonic() + _WATCHDOG_S
                notify("WATCHDOG=1")

    def _tell(self, state: StationState, code: ErrorCode) -> None:
        held = ", ".join(f"{name.name.lower()} {subject}" for name, subject in self._conditions.snapshot())
        log.log(
            logging.INFO if state is StationState.READY else logging.WARNING,
            "station is %s%s",
            state,
            held and f": {held}",
        )
        metrics.show_state(state)
        log.debug("error code %d", code)

    def _show(self, held: list[tuple[ErrorCode, str]]) -> None:
        wrong = ", ".join(f"{code.name.lower()} {subject}" for code, subject in held)
        notify(f"STATUS={self._conditions.state}{wrong and ': ' + wrong}")
        self._ever_held.update(held)
        metrics.show_conditions(held, self._ever_held)

    def _halt(self, pipeline: Pipeline, supervisor: Supervisor) -> int:
        """Stop the sources first, then the stages that they feed, and the links last. Returns the exit code."""
        begun_ns = time.monotonic_ns()
        notify("STOPPING=1")
        self._conditions.phase(StationState.STOPPING)
        deadline_ns = begun_ns + _STOP_NS
        rest = [worker for worker in supervisor.workers if worker not in pipeline.workers]
        # A camera's driver may hang in its SDK. The open parts must get a verdict all the same.
        hung = supervisor.stop(pipeline.acquire, begun_ns + _STOP_NS // 2)
        lost: list[str] = []
        for workers in (pipeline.segment, pipeline.measure, pipeline.judge, pipeline.report, pipeline.track, rest):
            lost += supervisor.stop(workers, deadline_ns)
        at_last = [*pipeline.shadow, *pipeline.archive, *pipeline.notes, *pipeline.changeover]
        at_last += [*pipeline.logbook, *pipeline.record, *pipeline.rollout]
        hung += supervisor.stop(at_last, deadline_ns)
        self._station.models.close_all()
        log.info("stopped in %.2f s", (time.monotonic_ns() - begun_ns) / 1e9)
        if hung or lost:
            log.warning("these threads are still busy in a driver or with the disk: %s", ", ".join(hung + lost))
            logging.shutdown()
            os._exit(1 if lost else 0)
        self._lock.release()
        return 0

    def _health(self, pipeline: Pipeline) -> tuple[bool, dict[str, Any]]:
        beating = {worker.name: worker.beating for worker in self._supervisor.workers}
        promise = self._station.roles.promise
        return health(
            self._conditions,
            beating,
            supervised=self._supervisor.healthy,
            promise=promise,
            station=self._station.file.station.name,
            boot_id=self._boot_id,
            rollout=pipeline.desk.told,
        )

    def _on_fault(self, name: str, faulty: bool) -> None:  # noqa: FBT001 -- the supervisor's callback
        vital = any(worker.name == name and worker.vital for worker in self._supervisor.workers)
        code = ErrorCode.WORKER_FAILED if vital else ErrorCode.SIDE_WORKER_FAILED
        (self._conditions.set if faulty else self._conditions.clear)(code, name)

    def _on_restart(self, name: str) -> None:
        metrics.worker_restarts.labels(name).inc()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            log.critical("second signal: leaving at once")
            logging.shutdown()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._stop.set()


def _runs_on(models: Models, provider: str) -> float:
    infos = models.infos
    return float(any(infos[name].provider == provider for name in models.opened))


def _disk(folder: Path) -> tuple[float, float]:
    """Free and total bytes of the disk that holds `folder`. Free is 0 if the disk does not answer."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return 0.0, 0.0
    return float(usage.free), float(usage.total)
