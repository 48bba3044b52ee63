"""The line with faults: the demo's processes, proxies in front of PLC and broker, and a disk that can be full."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.chaos.account import Account, account_for
from benchmarks.chaos.proxy import Proxy
from edge_inspector.simulation.demo import Demo, free_port
from edge_inspector.simulation.options import DemoOptions

_CLOCK = Path(__file__).with_name("clock.c")
_STATE_BYTES = 16_000_000
_HISTORY_PARTS = 5

Event = dict[str, Any]


class ChaosLine(Demo):
    """A running line. `clock`: how the daemon's wall clock is stepped. `disk`: how its disk is filled.

    `resets` counts how often a person had to give RESET.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(self._chosen(folder, seed), folder)
        self.events: list[Event] = []
        self._read = 0
        self.resets = 0
        self.clock = "a preloaded clock_gettime"
        self.tls = "TLS between daemon and broker"
        self.disk = "RLIMIT_FSIZE of the daemon"

    def _chosen(self, folder: Path, seed: int) -> DemoOptions:
        frames = _draw_parts(folder / "parts")
        return DemoOptions(frames=frames, speed_mm_s=800.0, pitch_mm=300.0, model_ms=5.0, seed=seed)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The demo's processes, with proxies between the daemon and PLC and broker."""
        with ExitStack() as stack:
            self.proxies: dict[str, Proxy] = {}
            self._secure_broker()
            for name, port in (("plc", self.ports["plc"]), ("broker", self._broker_port)):
                proxy = self._proxy(name, port)
                stack.callback(proxy.stop)
                self.station_ports[name] = proxy.port
            stack.callback(self._unmount)
            self._mount()
            self._prepare_clock()
            with super().running():
                yield

    def step_clock(self, seconds: int) -> None:
        """Change the daemon's wall clock by this much."""
        step_clock(self.folder, seconds)

    def fill_disk(self) -> None:
        """Let all writes into the daemon's state directory fail from now on."""
        if self.disk != "tmpfs":
            _limit_files(self.daemon.pid, 0)
            return
        with (self.folder / "state" / "ballast").open("ab", buffering=0) as file:
            for size in (65_536, 4096, 1):
                while True:
                    try:
                        file.write(b"\0" * size)
                    except OSError:
                        break

    def free_disk(self) -> None:
        """Let writes succeed again."""
        if self.disk == "tmpfs":
            (self.folder / "state" / "ballast").unlink(missing_ok=True)
        else:
            _limit_files(self.daemon.pid, resource.RLIM_INFINITY)

    def read_events(self) -> list[Event]:
        """The PLC's ledger so far."""
        with self.ledger.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for text in whole.splitlines():
            try:
                self.events.append(json.loads(text))
            except ValueError:
                continue  # cut off by kill -9
        return self.events

    def stored_parts(self) -> set[tuple[int, int]] | None:
        """(plc_boot_id, part_seq) of every part in the results store. None while there is no store."""
        path = self.folder / "state" / "results.sqlite"
        if not path.exists():
            return None
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            try:
                return set(database.execute("SELECT plc_boot_id, part_seq FROM parts"))
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return None  # made anew this very moment
                raise

    def is_well(self) -> bool:
        """Whether the station reports ready, the PLC counts on it and the broker gets its messages."""
        conditions = self.conditions()
        ready = next((event["ready"] for event in reversed(self.read_events()) if event["kind"] == "ready"), False)
        return bool(conditions == [] and ready)

    def conditions(self) -> list[str] | None:
        """What the station says that is wrong. None if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['web']}/healthz", timeout=1) as answer:
                body = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            body = json.loads(error.read())
        except (OSError, ValueError):
            return None
        # The archive yields first and takes time to come back. There is no promise for it.
        wrong = [each for each in body["conditions"] if not each.startswith("archive_incomplete")]
        return wrong if body["state"] in ("ready", "degraded") else [*wrong, body["state"]]

    def recover(self, timeout_s: float) -> bool:
        """Whether the line is well again in time, after a fault."""
        return self.wait_until(self.is_well, timeout_s)

    def account(self, window_ns: tuple[int, int], stored: set[tuple[int, int]] | None) -> Account:
        """The fate of the parts that were triggered in the window."""
        return account_for(self.read_events(), self.recorder.verdicts(), stored, window_ns)

    def has_parts(self) -> bool:
        """Whether the belt has brought its first part."""
        return any(event["kind"] == "trigger" for event in self.read_events())

    def has_history(self) -> bool:
        """Whether the store has parts that a fault could erase."""
        return len(self.stored_parts() or ()) >= _HISTORY_PARTS

    def wait_until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Whether the condition became true in time."""
        until = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def _proxy(self, name: str, port: int) -> Proxy:
        """A proxy on a port that none of the demo's processes has. Their ports are chosen, but not in use yet."""
        self.proxies[name] = proxy = Proxy(port, f"{self.options.seed}/{name}")
        if proxy.port not in (*self.ports.values(), self._broker_port):
            return proxy
        try:
            return self._proxy(name, port)
        finally:
            proxy.stop()

    def _mount(self) -> None:
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        if os.geteuid() != 0:
            return
        if _succeeds("mount", "-t", "tmpfs", "-o", f"size={_STATE_BYTES}", "tmpfs", str(state)):
            self.disk = "tmpfs"

    def _unmount(self) -> None:
        if self.disk == "tmpfs":
            _succeeds("umount", "--lazy", str(self.folder / "state"))

    def _secure_broker(self) -> None:
        """Use TLS between daemon and broker. MQTT has no checksum, so changed bytes would change verdicts."""
        self._broker_port = self.ports["broker"]
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=broker "
            "-addext subjectAltName=IP:127.0.0.1 -keyout broker.key -out broker.pem"
        )
        if not shutil.which("openssl") or not _succeeds(*command.split(), folder=self.folder):
            self.tls = "none: openssl is not installed"
            return
        self._broker_port = free_port()
        files = (f"certfile {self.folder}/broker.pem", f"keyfile {self.folder}/broker.key")
        self.broker_lines = (*self.broker_lines, f"listener {self._broker_port} 127.0.0.1", *files)

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station = self.folder / "station.toml"
        text = station.read_text().replace("images_mb = 256\nmin_free_mb = 256", "images_mb = 2\nmin_free_mb = 1")
        if self._broker_port != self.ports["broker"]:
            text = text.replace(', version = "', ', tls_ca_file = "broker.pem", version = "')
            text = text.replace('\nversion = "', '\ntls_ca_file = "broker.pem"\nversion = "')
        station.write_text(text)
        # Parts without inspection would keep the station from being well until long after the fault.
        recipe = self.folder / "recipe.toml"
        recipe.write_text(recipe.read_text() + "not_inspected_share = 1\nblind_share = 1\n")

    def _prepare_clock(self) -> None:
        self.daemon_environment = preload_clock(self.folder)
        if not self.daemon_environment:
            self.clock = "not stepped: there is no C compiler"


def preload_clock(folder: Path) -> dict[str, str]:
    """The environment that gives a daemon its own wall clock. Empty if there is no C compiler."""
    library, clock = folder / "clock.so", folder / "clock"
    clock.write_bytes(bytes(8))
    try:
        made = _succeeds("cc", "-shared", "-fPIC", "-o", str(library), str(_CLOCK), "-ldl")
    except FileNotFoundError:
        made = False
    return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(clock)} if made else {}


def step_clock(folder: Path, seconds: int) -> None:
    """Change the wall clock made by `preload_clock` by this much."""
    with (folder / "clock").open("r+b") as file:  # in place, because the daemon has it mapped
        file.write(struct.pack("q", seconds * 1_000_000_000))


def _draw_parts(folder: Path) -> Path:
    """Four pictures, one with a defect. They are as cheap as possible, because only the verdicts matter here."""
    folder.mkdir()
    for number in range(4):
        picture = np.full((128, 128), 90 + number, np.uint8)  # all different, otherwise the camera would seem frozen
        if number == 0:
            picture[50:74, 50:74] = 220
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def _succeeds(*command: str, folder: Path | None = None) -> bool:
    return subprocess.run(command, check=False, capture_output=True, cwd=folder).returncode == 0


def _limit_files(pid: int, size: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
