"""Times on the demo's line, five times each: the daemon from exec to READY=1, and from SIGTERM to its exit."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

RUNS = 5
RUNNING_S = 4.0  # until cameras are open and parts are on their way


def main() -> int:
    """Print medians and all values as JSON, in seconds. `processor_s`: the CPU time of the start."""
    with tempfile.TemporaryDirectory() as name:
        demo = Demo(DemoOptions(lead_s=1.0), Path(name))
        with demo.running():
            demo.daemon.terminate()
            demo.daemon.wait(10)
            measured = [_once(Path(name), run) for run in range(RUNS)]
    columns = dict(zip(("start_s", "processor_s", "stop_s"), zip(*measured, strict=True), strict=True))
    print(json.dumps({f"median_{key}": statistics.median(values) for key, values in columns.items()} | columns))
    return 0


def _once(folder: Path, run: int) -> tuple[float, float, float]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(folder / f"notify{run}"))
        begun = time.monotonic()
        daemon = subprocess.Popen(
            [sys.executable, "-m", "edge_inspector", "run", str(folder / "station.toml")],
            env={**os.environ, "NOTIFY_SOCKET": str(folder / f"notify{run}")},
            stderr=subprocess.DEVNULL,
        )
        while b"READY=1" not in manager.recv(4096):
            pass
        start_s = time.monotonic() - begun
        processor_s = _processor_s(daemon.pid)
        time.sleep(RUNNING_S)
        begun = time.monotonic()
        daemon.terminate()
        daemon.wait(10)
        return round(start_s, 2), round(processor_s, 2), round(time.monotonic() - begun, 2)


def _processor_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
