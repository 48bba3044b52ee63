"""Whole stations for roll-outs: benches that are called for each part, with a tiny model, so that many fit.

Each is a real daemon with a real page, which a service would start again, and so does `KeptStation`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from support.dark_model import ASSETS, MEAN

from edge_inspector.simulation.demo import end_process, free_port
from edge_inspector.store.signatures import new_key, sign
from edge_inspector.store.users import Role, new_user, write_users

PASSWORD = "only for this machine"  # noqa: S105 -- of stations that tests make
PICTURES = 40
DARK_EVERY = 4

STATION = """\
[station]
name = "{name}"
recipe = "plate.toml"
models_dir = "models"
state_dir = "state"
[line]
counts_per_mm = 1.0
speed_max_mm_s = 1000.0
gate_mm = 2000.0
promise = "bench"
[parts]
announced_by = "top"
on_call = true
[encoder]
driver = "no-belt"
interval_ms = 25
[segmenter]
driver = "onnx"
settings = {{ workers = 1 }}
[web]
port = {port}
[archive]
images_mb = 8
min_free_mb = 0
accepted_one_in = 0
pictures_per_s = 0.5
[trust]
keys = ["{key}"]
[rollout]
accept = true
quiet_s = {quiet_s}
[[cameras]]
name = "top"
driver = "folder"
offset_mm = 0.0
mm_per_px = 1.0
settings = {{ path = "{pictures}", interval_ms = {interval_ms}, repeat = true, grey = true }}
[[plcs]]
name = "broker"
driver = "mqtt"
interval_ms = 50
settings = {{ host = "127.0.0.1", port = {broker}, version = "{version}" }}
"""

RECIPE = """\
id = 1
name = "plate"
revision = {revision}
model = "mean-1.0"
views = ["top"]
part_length_mm = 200
min_pitch_mm = 400
position_tolerance_mm = 150
{classes}
[picture]
guard = "none"
may_repeat = true
[alarm]
rejects_in_a_row = 0
reject_share = 0
"""


@dataclass
class Works:
    """A folder with a key, pictures and signed models, from which stations are made. Every fourth picture is dark."""

    folder: Path
    broker: int
    version: str = "5"
    quiet_s: float = 0.6
    interval_ms: float = 40.0
    key: str = ""
    users: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = new_key(self.folder / "release.key")
        self.users = {"rollout": new_user("rollout", Role.ADMIN, PASSWORD, rounds=1)}
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o600)
        random = np.random.default_rng(1)
        (self.folder / "pictures").mkdir()
        for at in range(PICTURES):
            picture = random.integers(180, 220, (64, 64)).astype(np.uint8)
            if at % DARK_EVERY == 0:
                picture[20:40, 20:40] = 10
            cv2.imwrite(str(self.folder / "pictures" / f"{at:03}.png"), picture)

    def model(self, version: str, *, confidence: float = 0.5, area_px: float = 100.0, name: str = "mean") -> Path:
        """A signed model. All have the same net, and what they find depends on the limits that they suggest."""
        folder = self.folder / "releases" / f"{name}-{version}"
        folder.mkdir(parents=True)
        content = (ASSETS / "dark.onnx").read_bytes()
        (folder / "model.int8.onnx").write_bytes(content)
        text = MEAN.replace('"mean"', f'"{name}"').replace('"1.0"', f'"{version}"')
        text = text.replace("0.5", f"{confidence}").replace("100.0", f"{area_px}")
        files = f'[files.int8]\npath = "model.int8.onnx"\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        (folder / "manifest.toml").write_text(text + files)
        sign(folder, self.folder / "release.key")
        return folder

    def recipe(self, revision: int, classes: str = "") -> Path:
        """A signed recipe."""
        path = self.folder / "releases" / f"revision-{revision}" / "plate.toml"
        path.parent.mkdir(parents=True)
        path.write_text(RECIPE.format(revision=revision, classes=classes))
        sign(path, self.folder / "release.key")
        return path

    def station(self, name: str, first: Path, recipe: Path) -> Path:
        """The files of a station. Returns its station file."""
        folder = self.folder / name
        (folder / "models").mkdir(parents=True)
        shutil.copytree(first, folder / "models" / first.name)
        for each in (recipe, recipe.with_name(f"{recipe.name}.signed")):
            shutil.copy(each, folder / each.name)
        write_users(folder / "users", self.users)
        text = STATION.format(
            name=name,
            port=free_port(),
            key=self.key,
            quiet_s=self.quiet_s,
            pictures=self.folder / "pictures",
            interval_ms=self.interval_ms,
            broker=self.broker,
            version=self.version,
        )
        (folder / "station.toml").write_text(text)
        return folder / "station.toml"

    def plan(self, what: Path, stations: Sequence[KeptStation], name: str = "plan", **more: Any) -> Path:
        """A plan for these stations. `more` are bounds of the watch, and `first`."""
        first = more.pop("first", 1)
        watch = {"pictures": 6, "found_pictures": 1, "parts": 6, "reject_rise_max": 0.5} | more
        lines = [f'what = "{what}"', 'why = "a better net"', f"first = {first}", "[login]"]
        lines += [f'password_file = "{self.folder / "password"}"', "[ask]", "every_s = 0.3", "timeout_s = 10"]
        lines += ["[watch]", *(f"{key} = {value}" for key, value in watch.items())]
        for each in stations:
            lines += ["[[stations]]", f'address = "{each.address}"', f'name = "{each.name}"']
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path


class KeptStation:
    """A daemon that is started again when it ends, as its service does, and a robot that calls for parts."""

    def __init__(self, path: Path, **environment: str) -> None:
        self.path = path
        self.name = path.parent.name
        self.port = int(next(line for line in path.read_text().splitlines() if line.startswith("port")).split()[2])
        self.address = f"http://127.0.0.1:{self.port}"
        self.starts = 0
        self.answered: list[dict[str, Any]] = []
        self.unclear: list[str] = []
        """Calls that the station may have taken, and whose answer was lost."""
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._off = threading.Event()
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{self.name}")
        self._cookie: dict[str, str] = {}
        self._called = 0

    def start(self) -> None:
        """Begin to keep it running."""
        self._keeper.start()

    def off(self) -> None:
        """Switch it off, as a power cut would."""
        self._off.set()
        process = self._process
        if process is not None:
            process.kill()

    def on(self) -> None:
        """Switch it on again."""
        self._off.clear()

    def stop(self) -> None:
        """End it for good."""
        self._ended.set()
        self._off.set()
        if self._process is not None:
            end_process(self._process)
        if self._keeper.ident is not None:
            self._keeper.join()

    def healthy(self) -> bool:
        """Whether its page answers, and it judges."""
        with suppress(OSError, ValueError, http.client.HTTPException):
            return bool(self._ask("GET", "/healthz", b"")[1].get("state") in {"ready", "degraded"})
        return False

    def codes(self) -> list[str]:
        """The conditions that it has now. None while it does not answer."""
        with suppress(OSError, ValueError, http.client.HTTPException):
            return [each["code"] for each in self._ask("GET", "/healthz", b"")[1]["reasons"]]
        return []

    def status(self) -> dict[str, Any]:
        """What it says of its roll-outs. Empty while it does not answer."""
        with suppress(OSError, ValueError, http.client.HTTPException):
            return dict(self._ask("GET", "/api/rollout", b"")[1])
        return {}

    def call(self) -> bool:
        """Call for one part, and keep the verdict. False if the station is not there."""
        try:
            if not self._cookie:
                self._log_in()
            self._called += 1
            part = f"{self.name}-{self._called}"
            body = json.dumps({"part_id": part}).encode()
            try:
                status, told = self._ask("POST", "/api/inspect", body)
            except ConnectionRefusedError:
                return False
            except (OSError, ValueError, http.client.HTTPException):
                self.unclear.append(part)
                return False
        except (OSError, ValueError, http.client.HTTPException):
            return False
        if status == 200:
            self.answered.append(told)
            return True
        if status in {401, 403}:
            self._cookie = {}
        elif status == 504:
            self.unclear.append(part)
        return False

    def _log_in(self) -> None:
        body = json.dumps({"name": "rollout", "password": PASSWORD}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/api/login", body)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            cookie = next(value for key, value in answer.getheaders() if key.lower() == "set-cookie")
        finally:
            connection.close()
        self._cookie = {"Cookie": cookie.partition(";")[0], "X-CSRF-Token": told["csrf"]}

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body or None, self._cookie)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def _keep(self) -> None:
        while not self._ended.is_set():
            if self._off.is_set():
                time.sleep(0.05)
                continue
            with (self.path.parent / "daemon.log").open("a") as log:
                command = [sys.executable, "-m", "edge_inspector", "run", str(self.path)]
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=log, start_new_session=True, env=self._environment
                )
            self.starts += 1
            if self._off.is_set():
                self._process.kill()
            self._process.wait()
            self._cookie = {}
            if self._ended.wait(0.2):
                return


class Robots:
    """Calls for parts at every station in turn: some parts, then a stop of the line."""

    def __init__(self, stations: Sequence[KeptStation], *, parts: int, pause_s: float, gap_s: float = 0.0) -> None:
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(each, parts, pause_s, gap_s), name=f"robot-{each.name}")
            for each in stations
        ]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()

    def _call(self, station: KeptStation, parts: int, pause_s: float, gap_s: float) -> None:
        while not self._ended.is_set():
            for _ in range(parts):
                if not station.call() or self._ended.wait(gap_s):
                    break
            if self._ended.wait(pause_s):
                return


@contextmanager
def kept(stations: Sequence[KeptStation], within_s: float = 120.0, *, begun: bool = True) -> Iterator[None]:
    """All of them run, and answer. If they have not begun yet, they end with the block all the same."""
    with ExitStack() as stack:
        for each in stations:
            stack.callback(each.stop)
            if begun:
                each.start()
        until_s = time.monotonic() + within_s
        while begun and not all(each.healthy() for each in stations):
            assert time.monotonic() < until_s, [each.name for each in stations if not each.healthy()]
            time.sleep(0.1)
        yield
