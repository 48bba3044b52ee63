"""The extra load of a soak: a disk that misbehaves, and people with the page open."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SLOW_MS = 40
_NICE = 19  # browsers run on other machines: here they only get the idle time


class Disk:
    """The disk below the archive, as slow or full as requested. Needs a C compiler to build it."""

    def __init__(self, folder: Path) -> None:
        self._control = folder / "disk"
        self._control.write_text("0")
        self._library = folder / "slow_disk.so"
        source = Path(__file__).with_name("slow_disk.c")
        compiler = shutil.which("cc")
        if compiler:
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self._library, source, "-ldl"], check=True)
        self.available = compiler is not None
        state = folder / "state"
        self._environment = {
            "LD_PRELOAD": str(self._library),
            "SLOW_DISK_CONTROL": str(self._control),
            "SLOW_DISK_BELOW": f"{state}/images:{state}/results",
        }

    @contextmanager
    def below_new_processes(self) -> Iterator[None]:
        """Programs that start inside this context write through it."""
        if self.available:
            os.environ.update(self._environment)
        try:
            yield
        finally:
            for name in self._environment:
                os.environ.pop(name, None)

    def turn(self, phase: str) -> None:
        """Behave as the phase says."""
        self._control.write_text("full" if "full" in phase else str(SLOW_MS) if "slow" in phase else "0")


class Clients:
    """People with the page open. While active, each follows the live stream and makes a request once a second."""

    def __init__(self, port: int, paths: Sequence[str], count: int) -> None:
        self.answers = self.failures = self.live_bytes = 0
        self.last_failure = ""
        self._page = f"http://127.0.0.1:{port}"
        self._paths = paths
        self._stop = threading.Event()
        self._looking = threading.Event()
        self._threads = [
            threading.Thread(target=look, args=(number,))
            for number in range(count)
            for look in (self._follow, self._ask)
        ]

    def start(self) -> None:
        """Start the clients. They do not watch yet."""
        for thread in self._threads:
            thread.start()

    def turn(self, phase: str) -> None:
        """Watch, or stop watching, as the phase says."""
        if "clients" in phase:
            self._looking.set()
        else:
            self._looking.clear()

    def stop(self) -> None:
        """End the clients."""
        self._looking.clear()
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _ask(self, number: int) -> None:
        _go_last()
        self._stop.wait(2 * number / len(self._threads))  # people do not all make requests at the same instant
        while not self._stop.wait(1.0):
            if not self._looking.is_set():
                continue
            number += 1
            try:
                with urllib.request.urlopen(self._page + self._paths[number % len(self._paths)], timeout=5) as answer:
                    answer.read()
                self.answers += 1
            except OSError as error:
                self.failures += 1
                self.last_failure = str(error)

    def _follow(self, _number: int) -> None:
        _go_last()
        while not self._stop.wait(1.0):
            if not self._looking.is_set():
                continue
            try:
                with urllib.request.urlopen(f"{self._page}/api/live", timeout=5) as stream:
                    while self._looking.is_set() and (heard := stream.read1(65536)):
                        self.live_bytes += len(heard)
            except OSError as error:
                self.failures += 1
                self.last_failure = str(error)


def _go_last() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
