"""A page server on loopback with a station behind it that has judged a few parts, for tests of the page."""

from __future__ import annotations

import functools
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from support.verdicts import defect, frame, placed, verdict

from edge_inspector.codes import Decision, StationState
from edge_inspector.drivers import Segmenter
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.pipeline import challenge_rules
from edge_inspector.records import (
    ArchiveItem,
    Command,
    EncoderSample,
    OpenPart,
    PlcInput,
    Scene,
    StationStatus,
)
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.worker import Worker
from edge_inspector.segmenters.models import Models
from edge_inspector.shifts.switch import RecordSwitch
from edge_inspector.simulation.camera import SimulatedCamera
from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import write_station_files
from edge_inspector.stages.logbook import Errand, Logbook
from edge_inspector.station.load import Station, load_station
from edge_inspector.store.album import Album
from edge_inspector.store.logbook import LogbookReader, logbook_path
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.store.trends import Trends
from edge_inspector.store.users import Role, User, new_user, write_users
from edge_inspector.watches.adjusting import AdjustableCamera
from edge_inspector.watches.challenge_due import ChallengeDue, Schedule
from edge_inspector.watches.pictures import PictureGuards
from edge_inspector.web.app import make_app
from edge_inspector.web.plant import Plant
from edge_inspector.web.server import Web
from edge_inspector.wiring.line import line_geometry

PASSWORD = "correct horse"  # noqa: S105 -- of users that tests make
LINE = Line(
    seed=1, start_ns=0, speed_mm_s=1000.0, pitch_mm=400.0, part_length_mm=200.0, parts=9, lanes=2, gate_mm=1500.0,
    counts_per_mm=10.0,
)  # fmt: skip


STAGES: dict[Path, Logbook] = {}  # of plants that are not served yet
KEPT: dict[Path, Mailbox[ArchiveItem]] = {}
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
SILENT_PLC = PlcInput(
    1, 1, enable=True, reset=False, line_running=True, recipe_id=0, ack_session=0, ack_seq=0, trigger_seq=0, triggers=()
)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Visitor:
    """One browser: it keeps its cookie and its CSRF token."""

    port: int
    cookie: str = ""
    csrf: str = ""
    device: str = ""
    open: list[http.client.HTTPConnection] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        response = self.start(method, path, body, **headers)
        told: dict[str, str] = {}
        for key, value in response.getheaders():
            told.setdefault(key.lower(), value)  # of two cookies the first is the session's
            if value.startswith("edge_inspector_device="):
                self.device = value.partition(";")[0]
        answer = Answer(response.status, told, response.read())
        self.open.pop().close()
        return answer

    def start(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.open.append(connection)
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        if self.csrf:
            sent.setdefault("X-CSRF-Token", self.csrf)
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, raw, sent)
        return connection.getresponse()

    def first_news(self) -> Any:
        line = self.start("GET", "/api/live").readline()
        return json.loads(line.removeprefix(b"data: "))

    def log_in(self, name: str, password: str = PASSWORD) -> Answer:
        answer = self.ask("POST", "/api/login", {"name": name, "password": password})
        if answer.status == 200:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
            self.csrf = answer.json["csrf"]
        return answer

    def close(self) -> None:
        for connection in self.open:
            connection.close()


@dataclass
class Page:
    """The server under test and what lies behind it."""

    worker: Worker
    plant: Plant
    conditions: Conditions
    port: int
    visitors: list[Visitor] = field(default_factory=list)

    def kept(self) -> list[Any]:
        """What the page has handed to the archive."""
        return KEPT[self.plant.station.state_dir].take(99, 0.0)

    def visitor(self, role: Role | None = None) -> Visitor:
        visitor = Visitor(self.port)
        self.visitors.append(visitor)
        if role is not None:
            assert visitor.log_in(role.label).status == 200
        return visitor


@functools.cache
def users() -> dict[str, User]:
    """One of each role. Their hashes have one round, because a test need not be slow to guess."""
    return {role.label: new_user(role.label, role, PASSWORD, rounds=1) for role in Role}


def station_files(folder: Path, web: str = "") -> Path:
    """A station with two simulated cameras; `web` is added to its [web] table. The users are named after their role."""
    LINE.write(folder / "line.json")
    ports = {"plc": 1, "broker": 1, "web": free_port()}
    path = write_station_files(folder, folder / "line.json", LINE, ports=ports, options=DemoOptions(model_ms=1.0))
    path.write_text(path.read_text().replace("[web]\n", f"[web]\n{web}"))
    recipe = (folder / "recipe.toml").read_text()
    (folder / "other.toml").write_text(recipe.replace("id = 1\n", "id = 2\n"))
    path.write_text(
        path.read_text().replace('recipe = "recipe.toml"\n', 'recipe = "recipe.toml"\nrecipes = ["other.toml"]\n')
    )
    write_users(folder / "users", users())
    return path


WELL = {"state": "ready", "workers": {"judge": True}}


def plant_of(folder: Path, web: str = "", healthy: tuple[bool, dict[str, Any]] = (True, WELL)) -> Plant:
    """What the page looks at: part 1 accepted, part 2 rejected with a crack and to be reviewed, part 3 on the belt."""
    station = load_station(station_files(folder, web))
    station.segmenter.open()
    geometry = line_geometry(station)
    timeline = Timeline(Motion(geometry.speed_max, 1e6), stale_ns=60_000_000_000)
    now = time.monotonic_ns()
    for at in range(5):
        then = now - (5 - at) * 10_000_000
        timeline.add(EncoderSample(at * 100, then, then - 1_000_000, then + 1_000_000, boot_id=1))
    album = Album(8 << 20)
    mask = np.zeros((1, 20, 30), np.uint8)
    mask[0, 5:10, 5:15] = 255
    album.put(frame(frame_id=1), mask * 0)
    album.put(frame(frame_id=2), mask)
    crack = defect(defect_class="defect")
    verdicts = (
        verdict(1, decided_ns=now - 10**9),
        verdict(2, Decision.REJECT, views=(placed(frame_id=2, defects=[crack]),), review=True, decided_ns=now),
    )
    writer = ResultsWriter(results_path(station.state_dir))
    writer.add([StoredVerdict(each, utc_of(now), "", {}) for each in verdicts], [])
    writer.close()
    conditions = Conditions()
    conditions.phase(StationState.READY)
    control = Control(station.recipes, station.recipe.id, conditions.reset, challenge=challenge_rules(station))

    def submit(command: Command) -> None:
        control.take(command, time.monotonic_ns())
        control.hear(SILENT_PLC)  # what the judge does with the PLC's next reading

    def status() -> StationStatus:
        return StationStatus(conditions.state, conditions.error_code, control.recipe_id, parts=2, rejected=1)

    kept: Mailbox[ArchiveItem] = Mailbox("archive", 64)
    logbook_inbox: Mailbox[Errand] = Mailbox("logbook", 16)
    rules = control.challenge
    challenges = ChallengeDue(
        Schedule(shifts=station.file.station.shifts),
        last={},
        ran=dict,
        runs=lambda: None,
        challenged=lambda number: number in rules.parts,
        criteria=station.basis().fingerprint,
        conditions=conditions,
    )
    logbook = Logbook(
        station.state_dir,
        boot_id=0xDEADBEEF,
        shifts=station.file.station.shifts,
        inbox=logbook_inbox,
        status=status,
        conditions=conditions,
        look=challenges.look,
    )
    STAGES[station.state_dir] = logbook
    KEPT[station.state_dir] = kept
    return Plant(
        station=station,
        boot_id=0xDEADBEEF,
        geometry=geometry,
        conditions=conditions,
        timeline=timeline,
        album=album,
        results=Results(results_path(station.state_dir)),
        scene=lambda: Scene((OpenPart(verdict(3).part, ()),), verdicts),
        status=status,
        submit=submit,
        keep=kept.put,
        write=logbook_inbox.put,
        noted=lambda: logbook.now,
        logbook=LogbookReader(logbook_path(station.state_dir)),
        trends=Trends(results_path(station.state_dir)),
        health=lambda: healthy,
        drift=lambda: None,
        guards=PictureGuards(station.state_dir, station.recipes, album, conditions),
        cameras={camera.name: AdjustableCamera(camera, conditions) for camera in _cameras(station)},
        challenges=challenges,
        recorder=RecordSwitch(station.state_dir, budget_mb=station.file.record.budget_mb, at_start=False),
    )


def _cameras(station: Station) -> Iterator[SimulatedCamera]:
    for table, settings in zip(station.file.cameras, station.camera_settings, strict=True):
        assert isinstance(settings, SimulatedCamera.Settings)
        yield SimulatedCamera(table.name, settings)


def certified(folder: Path, days: int = 2) -> str:
    """Settings of a page with a certificate that is made for it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", str(days), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(folder / "page.key"), "-out", str(folder / "page.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    return 'certificate = "page.crt"\nprivate_key = "page.key"\n'


def _wait_for(plant: Plant) -> None:
    until_s = time.monotonic() + 10
    while True:
        with socket.socket() as tried:
            listens = not tried.connect_ex(("127.0.0.1", plant.station.file.web.port))
        if listens and plant.noted().shift is not None:
            return
        assert time.monotonic() < until_s, "the page does not listen"
        time.sleep(0.01)


@contextmanager
def serving(plant: Plant) -> Iterator[Page]:
    """The page, served; everything ended afterwards."""
    settings = plant.station.file.web
    worker = Worker(Web(settings, lambda: make_app(plant), plant.conditions))
    logbook = Worker(STAGES.pop(plant.station.state_dir))
    logbook.start()
    worker.start()
    _wait_for(plant)
    page = Page(worker, plant, plant.conditions, settings.port)
    try:
        yield page
    finally:
        for visitor in page.visitors:
            visitor.close()
        worker.stop()
        logbook.stop()
        assert worker.join(5)
        assert logbook.join(5)
        assert worker.error is None
        assert logbook.error is None


@contextmanager
def camera_threads(page: Page) -> Iterator[None]:
    """What the cameras' own threads do: they look for orders between two pictures."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.005):
            for camera in page.plant.cameras.values():
                camera._obey()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    ended.set()
    thread.join()


def with_names(plant: Plant, names: list[str]) -> Plant:
    """The same station, with defects whose classes have these names."""
    found = [defect(defect_class=name) for name in names]
    views = (placed(frame_id=2, defects=found),)
    judged = verdict(4, Decision.REJECT, views=views, decided_ns=time.monotonic_ns())
    judged = replace(judged, part=replace(judged.part, part_id=names[0]))
    writer = ResultsWriter(results_path(plant.station.state_dir))
    writer.add([StoredVerdict(judged, utc_of(time.monotonic_ns()), "", {})], [])
    writer.close()
    scene, first = plant.scene(), plant.station.segmenter
    other = SimpleNamespace(info=replace(first.info, classes=tuple(names)))
    models = Models({next(iter(plant.station.models.infos)): first, "other": cast("Segmenter", other)})
    return replace(
        plant,
        station=replace(plant.station, models=models),
        scene=lambda: Scene(scene.parts, (*scene.verdicts, judged)),
    )
