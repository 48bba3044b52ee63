"""The life of the fleet page in one place: start, supervise until a signal, stop."""

from __future__ import annotations

import logging
import signal
import ssl
import threading
import time
from types import FrameType
from typing import Any, Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.fleet.births import Births
from edge_inspector.fleet.fetch import Asker
from edge_inspector.fleet.poll import Poll
from edge_inspector.fleet.prometheus import Watched
from edge_inspector.fleet.roster import Known, Roster
from edge_inspector.fleet.tables import FleetFile, ListedTable, PollTable
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.supervisor import Supervisor
from edge_inspector.runtime.systemd import notify
from edge_inspector.runtime.worker import Worker
from edge_inspector.station.table_faults import read_token
from edge_inspector.web.server import Web

log = logging.getLogger(__name__)

_WATCH_S: Final = 0.5
_WATCHDOG_S: Final = 1.0
_LISTEN_S: Final = 3.0
_STOP_S: Final = 35.0  # the longest `timeout_s`, and a little


class Fleet:
    """The page with its threads. `run` returns the exit code."""

    def __init__(self, file: FleetFile) -> None:
        self.roster = roster_of(file)
        asker = asker_of(file.poll)
        self.poll = Poll(self.roster, file.poll, asker)
        self._file = file
        self._conditions = Conditions()
        self._stop = threading.Event()
        web = Web(file.web, self._page, self._conditions)
        births = [] if file.broker is None else [Worker(Births(self.roster, file.broker))]
        watched = [] if file.prometheus is None else [Worker(Watched(self.roster, file.prometheus, file.poll, asker))]
        workers = [Worker(self.poll), *births, *watched, Worker(web)]
        self._supervisor = Supervisor(workers, on_fault=_ignore, on_restart=lambda _: None)

    def run(self) -> int:
        """Serve until SIGTERM or Ctrl-C. 1 if a thread failed for good, so that the service manager starts it again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        web = self._file.web
        log.info("fleet page on %s:%d%s/", web.host, web.port, web.path)
        self.start()
        notify("READY=1\nSTATUS=running")
        try:
            return self._supervise()
        finally:
            notify("STOPPING=1")
            self.stop()

    def start(self) -> None:
        """Start all threads."""
        self._supervisor.start()

    def stop(self) -> None:
        """End all threads. Who is being asked has its time left."""
        self._supervisor.stop(self._supervisor.workers, time.monotonic_ns() + int(_STOP_S * 1e9))

    def _supervise(self) -> int:
        fed_ns = 0
        while not self._stop.wait(_WATCH_S):
            self._supervisor.watch()
            if not all(worker.alive for worker in self._supervisor.workers):
                return 1
            now = time.monotonic_ns()
            if self._supervisor.healthy and now - fed_ns >= _WATCHDOG_S * 1e9:
                fed_ns = now
                notify("WATCHDOG=1")
        return 0

    def _page(self) -> Any:
        from edge_inspector.fleet.page import make_fleet_app  # noqa: PLC0415 -- in the page's thread: it takes a while

        return make_fleet_app(self._file, self.roster)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()


def look_once(file: FleetFile) -> Roster:
    """All stations after one round of questions. No page is served."""
    roster = roster_of(file)
    if file.broker is not None:
        _listen(Births(roster, file.broker))
    asker = asker_of(file.poll)
    if file.prometheus is not None:
        Watched(roster, file.prometheus, file.poll, asker).look()
    poll = Poll(roster, file.poll, asker)
    poll.start()
    try:
        while not poll.rounds:
            poll.step()
    finally:
        poll.stop(failed=False)
    return roster


def _listen(births: Births) -> None:
    """Hear what the broker has retained. It comes at once."""
    end_s = time.monotonic() + _LISTEN_S
    try:
        while time.monotonic() < end_s:
            births.step()
    finally:
        births.stop(failed=False)


def roster_of(file: FleetFile) -> Roster:
    """The stations that the file lists. Those that announce themselves come later."""
    broker = file.broker
    token = read_token(broker.token_file) if broker is not None and broker.token_file is not None else ""
    return Roster([_known(each) for each in file.stations], token)


def asker_of(poll: PollTable) -> Asker:
    """How stations are asked. Raises ConfigError for a certificate that cannot be used."""
    try:
        return Asker(poll.timeout_s, ssl.create_default_context(cafile=poll.tls_ca_file))
    except (OSError, ValueError) as error:
        raise ConfigError([Fault("poll.tls_ca_file", f"{poll.tls_ca_file}: {error}")]) from error


def _known(table: ListedTable) -> Known:
    token = read_token(table.token_file) if table.token_file is not None else ""
    return Known(address=table.address, name=table.name, site=table.site, place=table.place, token=token)


def _ignore(_name: str, _faulty: bool) -> None:  # noqa: FBT001 -- the supervisor's callback
    """The supervisor has logged it."""
