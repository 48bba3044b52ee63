"""Lines with a PLC for roll-outs: batches of parts with a stop in between, a real daemon, and a broker with TLS."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.certificates import Authority
from support.rollout_stations import KeptStation, Works

from edge_inspector.simulation.broker import DemoBroker, accepts
from edge_inspector.simulation.demo import Demo, end_process, free_port
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.simulation.station_files import models_dir, write_station_files
from edge_inspector.store.signatures import sign
from edge_inspector.store.users import write_users

_MODEL = "tile-1.1"
_SPEED_MM_S = 1000.0
_PITCH_MM = 2400.0
_STAND_S = 8.0
BATCH = 5
"""Parts between two stops."""
_BATCHES = 40


class TlsBroker:
    """One broker that stations reach over TLS, and the test beside it without. `ca` signed its certificate."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.port, self.plain_port = free_port(), free_port()
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(authority.certificate)
        public, private = authority.server().write(folder, "broker")
        lines = [f"cafile {self.ca}", f"certfile {public}", f"keyfile {private}"]
        lines += [f"listener {self.plain_port} 127.0.0.1", "allow_anonymous true"]
        self._broker = DemoBroker(self.port, folder, extra=lines)

    @contextmanager
    def running(self) -> Iterator[None]:
        """It accepts connections of both kinds."""
        with self._broker:
            until_s = time.monotonic() + 10
            while not accepts(self.plain_port):
                assert time.monotonic() < until_s
                time.sleep(0.01)
            yield


class BatchLine:
    """A simulated PLC with its belt, which stops empty after each batch, and the station beside it."""

    def __init__(self, works: Works, name: str, broker: TlsBroker, recipe: Path) -> None:
        folder = works.folder / name
        (folder / "models").mkdir(parents=True)
        options = DemoOptions(cameras=1, speed_mm_s=_SPEED_MM_S, pitch_mm=_PITCH_MM, parts=BATCH * _BATCHES)
        self._demo = Demo(options, folder)
        self._demo.line = replace(self._demo.line, pauses=tuple(_stops(self._demo)))
        self._demo.line.write(folder / "line.json")
        ports = self._demo.ports | {"broker": broker.port}
        write_station_files(folder, folder / "line.json", self._demo.line, ports=ports, options=options)
        _install(works, folder, name, broker, recipe)
        self.station = KeptStation(folder / "station.toml")

    @contextmanager
    def plc(self) -> Iterator[None]:
        """Its PLC runs, and the belt stands."""
        process = self._demo._start_plc()
        try:
            yield
        finally:
            end_process(process)

    def start_belt(self) -> None:
        """Let the parts come."""
        self._demo.start_belt()

    def ledger(self) -> list[dict[str, Any]]:
        """What the PLC has written down."""
        return read_ledger(self._demo.ledger)


def line_recipe(works: Works, revision: int, more: str = "") -> Path:
    """A signed recipe of these lines."""
    path = works.folder / "releases" / f"line-{revision}" / "recipe.toml"
    path.parent.mkdir(parents=True)
    text = (
        f'id = 1\nname = "plank"\nrevision = {revision}\nmodel = "{_MODEL}"\nviews = ["cam1"]\npart_length_mm = 200.0\n'
        "min_pitch_mm = 2000.0\nposition_tolerance_mm = 10.0\n"
        f'{more}[picture]\nguard = "none"\n[alarm]\nrejects_in_a_row = 0\nreject_share = 0\n'
    )
    path.write_text(text)
    sign(path, works.folder / "release.key")
    return path


def _stops(demo: Demo) -> Iterator[tuple[float, float]]:
    """When the belt stops, in seconds after its start: each time that the last part of a batch is past the gate."""
    line, stops = demo.line, []
    for batch in range(1, _BATCHES):
        so_far = replace(line, pauses=tuple(stops), started_by="", start_ns=0)
        at_s = so_far.belt.time_at(so_far.eye_mm(batch * BATCH - 1) + line.gate_mm + 50.0) / 1e9
        stops.append((at_s, _STAND_S))
    yield from stops


def _install(works: Works, folder: Path, name: str, broker: TlsBroker, recipe: Path) -> None:
    shutil.copytree(models_dir() / _MODEL, folder / "models" / _MODEL)
    sign(folder / "models" / _MODEL, works.folder / "release.key")
    for each in (recipe, recipe.with_name(f"{recipe.name}.signed")):
        shutil.copy(each, folder / each.name)
    write_users(folder / "users", works.users)
    text = (folder / "station.toml").read_text().replace('name = "demo"', f'name = "{name}"')
    text = re.sub('models_dir = ".*"', 'models_dir = "models"', text)
    text = text.replace('version = "5"', f'version = "5", tls_ca_file = "{broker.ca}"')
    text += f'[trust]\nkeys = ["{works.key}"]\n[rollout]\naccept = true\nquiet_s = 3.5\n'
    (folder / "station.toml").write_text(text)
