"""`edge-inspector forward`: send the results of a station to the plant's database or bucket."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from edge_inspector.commands.arguments import add_station
from edge_inspector.commands.changes import write_down
from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.forwarding.bucket import BucketStore
from edge_inspector.forwarding.bucket import require as require_bucket
from edge_inspector.forwarding.bucket_settings import BucketTable
from edge_inspector.forwarding.forwarder import Forwarder, Sent
from edge_inspector.forwarding.postgres import Store, require
from edge_inspector.forwarding.sender import SendingStation
from edge_inspector.forwarding.settings import StoreTable
from edge_inspector.inspection.recipe import read_recipe
from edge_inspector.runtime.logs import set_up_logging
from edge_inspector.runtime.realtime import go_idle
from edge_inspector.station.load import read_places, with_paths
from edge_inspector.station.tables import StationFile
from edge_inspector.store.lock import FORWARD, StateLock
from edge_inspector.store.station_id import station_id

_log = logging.getLogger(__name__)

_MEMORY: Final = 512 * 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which station, and how long."""
    add_station(parser)
    parser.add_argument("--once", action="store_true", help="end as soon as nothing waits any more")
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="send as a station that this machine replaces, or that was renamed, and end as soon as nothing waits",
    )


def run(given: argparse.Namespace) -> int:
    """Send until SIGTERM or Ctrl-C. It takes only time of the processor that nobody else needs."""
    file, state_dir, _ = read_places(given.station)
    settings = _settings(given.station, file)
    if isinstance(settings, BucketTable):
        require_bucket(settings)
    else:
        require(settings)
    go_idle(_MEMORY)
    sender = SendingStation(
        name=file.station.name,
        identity=station_id(state_dir),
        pictures_url=settings.pictures_url,
        products=dict(_products(given.station.parent, file)),
    )
    once = given.once or given.take_over
    forwarder = _forwarder(state_dir, file, settings, sender, once=once)
    with StateLock(state_dir, FORWARD).held(), _until_stopped() as stopped:
        try:
            if given.take_over:
                write_down(state_dir, "store", settings.place, before="", after=f"takes over the name {sender.name}")
                _open(settings, sender, take_over=True).close()
            if once:
                return _send_once(forwarder, stopped)
            set_up_logging()
            _send(forwarder, stopped, settings.interval_s)
        finally:
            forwarder.close()
    return 0


def _send(forwarder: Forwarder, stopped: threading.Event, interval_s: float) -> None:
    trouble = ""
    while not stopped.is_set():
        done = forwarder.step()
        _tell(done, trouble)
        trouble = done.trouble
        if trouble:
            stopped.wait(forwarder.backoff.left_s)
        elif not done.more:
            stopped.wait(interval_s)


def _tell(done: Sent, trouble: str) -> None:
    """Say it once if something goes wrong, and once when it is over. `trouble` is that of the step before."""
    if done.trouble and done.trouble != trouble:
        _log.warning("%s. Results wait on this station's disk", done.trouble)
    elif trouble and not done.trouble:
        _log.info("the store takes results again. %d parts wait", done.waiting)


def _send_once(forwarder: Forwarder, stopped: threading.Event) -> int:
    sent = 0
    while not stopped.is_set():
        done = forwarder.step()
        sent += done.parts
        if done.trouble:
            raise DeviceError(done.trouble)
        if not done.more:
            break
    print(f"{sent} parts sent")
    return 0


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    stopped = threading.Event()
    before = {each: signal.signal(each, lambda *_: stopped.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _settings(path: Path, file: StationFile) -> StoreTable | BucketTable:
    if file.store is not None:
        return with_paths(path.parent, file.store)
    if file.bucket is not None:
        return with_paths(path.parent, file.bucket)
    what = (
        "is missing. Write [store] with the host of the plant's database, or [bucket] with the address of an S3 store"
    )
    raise ConfigError([Fault(f"{path}: store", what)])


def _open(
    settings: StoreTable | BucketTable, sender: SendingStation, *, take_over: bool = False
) -> Store | BucketStore:
    if isinstance(settings, BucketTable):
        return BucketStore(settings, sender, take_over=take_over)
    return Store(settings, sender, take_over=take_over)


def _forwarder(
    state_dir: Path, file: StationFile, settings: StoreTable | BucketTable, sender: SendingStation, *, once: bool
) -> Forwarder:
    """`once`: nothing waits for more."""
    suffix = ".png" if file.archive.image_format == "png" else ".jpg"
    connect = partial(_open, settings, sender)
    if isinstance(settings, StoreTable):
        return Forwarder(state_dir, connect, batch_parts=settings.batch_parts, picture_suffix=suffix)
    hold_s = 0.0 if once else settings.file_s
    return Forwarder(
        state_dir, connect, batch_parts=settings.file_parts, picture_suffix=suffix, hold_s=hold_s, by_day=True
    )


def _products(base: Path, file: StationFile) -> Iterator[tuple[int, str]]:
    """The names of the recipes. One that cannot be read has no name in the database, and its number shows."""
    for path in (file.station.recipe, *file.station.recipes):
        with suppress(ConfigError):
            recipe = read_recipe(base / path)
            yield recipe.id, recipe.name
