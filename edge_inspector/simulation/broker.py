"""A separate MQTT broker for the demo and the tests: mosquitto if it is installed, otherwise amqtt."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from edge_inspector.errors import EdgeInspectorError

_START_S = 10.0
_STOP_S = 5.0


class DemoBroker:
    """A broker on a loopback port, open to every program of this machine. Its files are in `directory`.

    `kind` is the broker's name, `mqtt_version` its protocol version. `extra` are further lines for mosquitto.conf.
    amqtt keeps no session and loses messages at `kill`. Raises EdgeInspectorError if neither broker is installed.
    """

    def __init__(
        self,
        port: int,
        directory: Path,
        *,
        persistent: bool = True,
        extra: Sequence[str] = ("allow_anonymous true",),
        mosquitto: str | None = None,
    ) -> None:
        self.port = port
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.mqtt_version: Literal["5", "3.1.1"]
        found = find_mosquitto() if mosquitto is None else mosquitto
        if found:
            self.kind, self.mqtt_version = _mosquitto_version(found), "5"
            config = directory / "mosquitto.conf"
            config.write_text("\n".join(_mosquitto_config(port, directory, persistent=persistent, extra=extra)) + "\n")
            self._command = [found, "-c", str(config)]
        elif find_spec("amqtt") is not None:
            self.kind, self.mqtt_version = "amqtt (embedded)", "3.1.1"
            self._command = [sys.executable, "-m", "edge_inspector.simulation.broker", str(port)]
        else:
            raise EdgeInspectorError("no MQTT broker: install mosquitto, or amqtt (pip install edge-inspector[demo])")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        if self._process is None:
            raise EdgeInspectorError(f"{self.kind} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        if accepts(self.port):
            raise EdgeInspectorError(f"port {self.port} is in use: no broker started")
        log_path = self._directory / "broker.log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not accepts(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise EdgeInspectorError(f"{self.kind} did not start: {log_path.read_text(errors='replace')[-500:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(hard=True)

    def restart(self) -> None:
        """Start it again, with the same port and files."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Stop it in order, or by force if it does not end. May be called twice."""
        self._end(hard=False)

    def _end(self, *, hard: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if not hard:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                hard = True
        if hard:
            process.kill()
            process.wait()


def find_mosquitto() -> str | None:
    """The path of mosquitto. Debian installs it in sbin, which a user's PATH often lacks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _mosquitto_version(program: str) -> str:
    told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False, timeout=_START_S)
    return told.stdout.partition("\n")[0].replace(" version ", " ").strip() or "mosquitto"


def _mosquitto_config(port: int, directory: Path, *, persistent: bool, extra: Sequence[str]) -> list[str]:
    return [
        f"listener {port} 127.0.0.1",
        "set_tcp_nodelay true",
        "max_queued_messages 0",  # the default of 1000 drops messages silently
        "log_type error",
        "log_type warning",
        *(("user root",) if os.geteuid() == 0 else ()),  # otherwise it becomes "mosquitto" and cannot write its files
        *(
            (
                "persistence true",
                f"persistence_location {directory}/",
                "autosave_on_changes true",
                "autosave_interval 1",  # with the default a kill -9 would lose 30 minutes
            )
            if persistent
            else ("persistence false",)
        ),
        *extra,
    ]


def accepts(port: int) -> bool:
    """Whether somebody listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _serve_amqtt(port: int) -> None:
    from amqtt.broker import Broker  # noqa: PLC0415 -- optional, and only in this process

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_amqtt(int(sys.argv[1])))
