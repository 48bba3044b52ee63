"""The cost of the live page: the demo without screens, and with ten screens on it.

`python benchmarks/screens.py` prints one table. The runs alternate, because the speed of a machine changes with time.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions


class Screens:
    """This many clients of the live feed, in one thread that discards what it reads."""

    def __init__(self, port: int, count: int) -> None:
        self.received_bytes = 0
        self._address = ("127.0.0.1", port)
        self._count = count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="screens")

    @contextmanager
    def watching(self) -> Iterator[Screens]:
        """The screens watch inside this context."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            while len(selector.get_map()) < self._count and not self._stop.wait(0.2):
                self._open(selector)
            while not self._stop.is_set():
                for key, _ in selector.select(0.2):
                    if isinstance(key.fileobj, socket.socket):
                        self.received_bytes += len(key.fileobj.recv(1 << 20))
            for key in list(selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()

    def _open(self, selector: selectors.BaseSelector) -> None:
        try:
            screen = socket.create_connection(self._address, timeout=5)
        except OSError:  # the daemon is not up yet
            return
        screen.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        selector.register(screen, selectors.EVENT_READ)


def run(screens: int, options: DemoOptions) -> dict[str, Any]:
    """One run's report, with the number of bytes that the screens received."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(options, Path(folder))
        with demo.running(), Screens(demo.ports["web"], screens).watching() as watched:
            demo.play()
            report = demo.finish()
            text = (demo.folder / "metrics.txt").read_text()
        cpu = re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)
    report["cpu_s"] = round(float(cpu[1]), 1) if cpu else None
    return report | {"screens": screens, "received_mb": round(watched.received_bytes / 2**20, 1)}


def main() -> int:
    """Alternate without and with screens. Print the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screens", type=int, default=10)
    parser.add_argument("--parts", type=int, default=150)
    parser.add_argument("--speed-mm-s", type=float, default=1000.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the reports here")
    given = parser.parse_args()
    options = DemoOptions(parts=given.parts, speed_mm_s=given.speed_mm_s)
    reports = [run(count, options) for _ in range(given.rounds) for count in (0, given.screens)]
    print("| screens | capture to PLC p50 / p99 / max, ms | not inspected | late | CPU, s | RSS, MB | received, MB |")
    print("|---|---|---|---|---|---|---|")
    for report in reports:
        spread = " / ".join(f"{report['capture_to_plc_ms'][key] or 0:.1f}" for key in ("p50", "p99", "max"))
        print(
            f"| {report['screens']} | {spread} | {report['not_inspected']} | {report['late']} "
            f"| {report['cpu_s']} | {report['rss_mb']} | {report['received_mb']} |"
        )
    if given.json:
        given.json.write_text(json.dumps(reports, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
