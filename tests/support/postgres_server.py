"""A real PostgreSQL of the distribution: a process of its own on loopback, in a folder of its own, without rights."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_inspector.forwarding.settings import StoreTable

USER, PASSWORD, DATABASE = "edge_inspector", "a word", "edge_inspector"
_WITHIN_S = 600.0  # on a busy machine: initdb alone takes some seconds


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs. Debian does not put them into PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    there = str(found[-1]) if found else shutil.which("initdb")
    return Path(there).parent if there else None


def why_not() -> str:
    """Why no server can run here. Empty if one can. It refuses to run as root, so root needs a folder for others."""
    if find_programs() is None:
        return "postgresql is not installed"
    if os.getuid():
        return ""
    folder = Path(tempfile.gettempdir()).resolve()
    closed = next((each for each in (folder, *folder.parents) if not each.stat().st_mode & 0o001), None)
    return f"postgresql does not run as root, and {closed} is closed to other users" if closed else ""


class PostgresServer:
    """Started by `start`, ended by `kill` and `stop`. After each of them it starts again with its data."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="edge-postgres-"))
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._as: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if not os.getuid() else {}
        if self._as:
            shutil.chown(self.folder, "nobody", "nogroup")
        self.password_file = self.folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self.password_file.chmod(0o644)

    @property
    def data(self) -> Path:
        """The folder of its files."""
        return self.folder / "data"

    def create(self) -> None:
        """Make its files, start it, and make user and database."""
        self._run(
            "initdb", "-D", self.data, "-U", "owner", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--auth=trust"
        )
        self.start()
        self.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'", f"CREATE DATABASE {DATABASE} OWNER {USER}")
        self.allow(f"host all owner 127.0.0.1/32 trust\nhost all {USER} 127.0.0.1/32 scram-sha-256\n")

    def copy(self) -> PostgresServer:
        """Another server with the same files as this one. This one must not run."""
        made = PostgresServer(self._programs)
        subprocess.run(["cp", "-a", self.data, made.folder], check=True)
        return made

    def start(self, **settings: str) -> None:
        """Start it, and wait until it answers. `settings` are those of postgresql.conf."""
        fast = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "20", "autovacuum": "off"} | settings
        chosen = [f"-c{name}={value}" for name, value in fast.items()]
        place = ["-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", *place, *chosen], stdout=log, stderr=log, cwd="/", **self._as
            )
        ready = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until = time.monotonic() + _WITHIN_S
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would: its helpers end with it, and nothing is written any more."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it. Its connections are cut."""
        self._end(signal.SIGINT)

    def remove(self) -> None:
        """End it, and remove its files."""
        self.stop()
        shutil.rmtree(self.folder)

    def allow(self, rules: str) -> None:
        """Replace the rules of who may log in."""
        (self.data / "pg_hba.conf").write_text(rules)
        self.sql("SELECT pg_reload_conf()")

    def sql(self, *statements: str, database: str = "postgres") -> list[list[str]]:
        """Run statements as the owner. The rows of the last ones, as texts."""
        place = [
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "owner",
            "-d",
            database,
            "-AtqX",
            "-v",
            "ON_ERROR_STOP=1",
        ]
        commands = [word for each in statements for word in ("-c", each)]
        done = subprocess.run([self._programs / "psql", *place, *commands], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split("|") for line in done.stdout.splitlines()]

    def ask(self, query: str) -> list[list[str]]:
        """The rows of a query about the stations' results, as texts."""
        return self.sql("SET search_path = edge_inspector", query, database=DATABASE)

    def forget(self) -> None:
        """Remove what stations have sent."""
        self.sql("DROP SCHEMA IF EXISTS edge_inspector CASCADE", database=DATABASE)

    def settings(self, **changes: Any) -> StoreTable:
        """Settings of a station that sends here."""
        plain = {"host": "127.0.0.1", "port": self.port, "password_file": self.password_file, "interval_s": 0.1}
        return StoreTable(**plain | changes)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_WITHIN_S)
            self._process = None

    def _run(self, program: str, *arguments: str | Path) -> None:
        command: Sequence[str | Path] = [self._programs / program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **self._as)
        assert done.returncode == 0, done.stdout + done.stderr


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
