"""A page server on loopback with a station behind it that has judged a few parts, for tests of the page."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from verdicts import defect, frame, placed, verdict

from edge_inspector.config import load_station
from edge_inspector.encoders.timeline import Motion, Timeline
from edge_inspector.inspection.control import Control
from edge_inspector.pipeline import line_geometry
from edge_inspector.records import (
    Command,
    Decision,
    EncoderSample,
    OpenPart,
    PlcInput,
    Scene,
    StationState,
    StationStatus,
)
from edge_inspector.runtime.album import Album
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.worker import Worker
from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.station_files import Variant, write_station_files
from edge_inspector.stages.guard import PictureGuards
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import Entry, ResultsWriter
from edge_inspector.store.users import Role, new_user, write_users
from edge_inspector.web.app import make_app
from edge_inspector.web.plant import Plant
from edge_inspector.web.server import Web

PASSWORD = "correct horse"  # noqa: S105 -- of users that tests make
LINE = Line(
    seed=1, start_ns=0, speed_mm_s=1000.0, pitch_mm=400.0, part_length_mm=200.0, parts=9, lanes=2, gate_mm=1500.0,
    counts_per_mm=10.0,
)  # fmt: skip


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
SILENT_PLC = PlcInput(1, 1, True, False, True, 0, 0, 0, 0, ())  # noqa: FBT003 -- enable, reset, line_running


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
    open: list[http.client.HTTPConnection] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        response = self.start(method, path, body, **headers)
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        self.open.pop().close()
        return answer

    def start(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
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

    def visitor(self, role: Role | None = None) -> Visitor:
        visitor = Visitor(self.port)
        self.visitors.append(visitor)
        if role is not None:
            assert visitor.log_in(role.label).status == 200
        return visitor


def station_files(folder: Path, web: str = "") -> Path:
    """A station with two simulated cameras; `web` is added to its [web] table. The users are named after their role."""
    LINE.write(folder / "line.json")
    ports = {"plc": 1, "broker": 1, "web": free_port()}
    path = write_station_files(folder, folder / "line.json", LINE, ports=ports, variant=Variant(model_ms=1.0))
    path.write_text(path.read_text().replace("[web]\n", f"[web]\n{web}"))
    recipe = (folder / "recipe.toml").read_text()
    (folder / "other.toml").write_text(recipe.replace("id = 1\n", "id = 2\n"))
    path.write_text(
        path.read_text().replace('recipe = "recipe.toml"\n', 'recipe = "recipe.toml"\nrecipes = ["other.toml"]\n')
    )
    write_users(folder / "users", {role.label: new_user(role.label, role, PASSWORD) for role in Role})
    return path


def plant_of(folder: Path, web: str = "", healthy: tuple[bool, dict[str, Any]] = (True, {"state": "ready"})) -> Plant:
    """What the page looks at: part 1 accepted, part 2 rejected with a crack and to be reviewed, part 3 on the belt."""
    station = load_station(station_files(folder, web))
    station.segmenter.open()
    geometry = line_geometry(station)
    timeline = Timeline(Motion(geometry.speed_max, 1e6), stale_ns=60_000_000_000)
    now = time.monotonic_ns()
    for at in range(5):
        then = now - (5 - at) * 10_000_000
        timeline.add(EncoderSample(at * 100, then, then - 1_000_000, then + 1_000_000, 1))
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
    writer.add([Entry(each, utc_of(now), "", {}) for each in verdicts], [])
    writer.close()
    conditions = Conditions()
    conditions.phase(StationState.READY)
    control = Control(station.recipes, station.recipe.id, conditions.reset)

    def submit(command: Command) -> None:
        control.take(command, time.monotonic_ns())
        control.hear(SILENT_PLC)  # what the judge does with the PLC's next reading

    return Plant(
        station=station,
        boot_id=0xDEADBEEF,
        model=station.segmenter.info,
        geometry=geometry,
        conditions=conditions,
        timeline=timeline,
        album=album,
        results=Results(results_path(station.state_dir)),
        scene=lambda: Scene((OpenPart(verdict(3).part, ()),), verdicts),
        status=lambda: StationStatus(conditions.state, conditions.error_code, control.recipe_id),
        submit=submit,
        health=lambda: healthy,
        drift=lambda: None,
        guards=PictureGuards(station.state_dir, station.recipes, album, conditions),
    )


def certified(folder: Path) -> str:
    """Settings of a page with a certificate that is made for it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(folder / "page.key"), "-out", str(folder / "page.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    return 'certificate = "page.crt"\nprivate_key = "page.key"\n'


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + 10
    while True:
        with socket.socket() as tried:
            if not tried.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < until_s, "the page does not listen"
        time.sleep(0.01)


@contextmanager
def serving(plant: Plant) -> Iterator[Page]:
    """The page, served; everything ended afterwards."""
    settings = plant.station.file.web
    worker = Worker(Web(settings, lambda: make_app(plant), plant.conditions))
    worker.start()
    _wait_for(settings.port)
    page = Page(worker, plant, plant.conditions, settings.port)
    try:
        yield page
    finally:
        for visitor in page.visitors:
            visitor.close()
        worker.stop()
        assert worker.join(5)
        assert worker.error is None
