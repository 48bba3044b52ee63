"""What a station takes while its line stands. All processes run, the belt does not, and no part comes."""

from __future__ import annotations

import io
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_inspector.simulation.bench.rounds import Figures
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

_SETTLES_S: Final = 4.0  # the encoder is polled more rarely two seconds after the belt stopped


@dataclass(frozen=True, slots=True)
class ThreadTally:
    """The threads of one kind up to now: CPU in milliseconds, and how often they waited for something."""

    cpu_ms: float = 0.0
    waits: int = 0


class _StandingLine(Demo):
    waits = True


def stand(options: DemoOptions, seconds: float) -> Figures:
    """Figures of the daemon while it waits for a line that has not started yet."""
    with tempfile.TemporaryDirectory(prefix="edge-inspector-bench-") as folder, redirect_stdout(io.StringIO()):
        demo = _StandingLine(options, Path(folder))
        with demo.running():
            time.sleep(_SETTLES_S)
            before, began_s = tallies(demo.daemon.pid), time.monotonic()
            time.sleep(seconds)
            after, took_s = tallies(demo.daemon.pid), time.monotonic() - began_s
            memory = memory_mb(demo.daemon.pid)
    return standing_figures(before, after, took_s) | memory


def standing_figures(before: dict[str, ThreadTally], after: dict[str, ThreadTally], took_s: float) -> Figures:
    """CPU and waits for each second, as a whole and by kind of thread, most first."""
    cpu_ms, waits = dict[str, float](), dict[str, float]()
    for kind, now in after.items():
        then = before.get(kind, ThreadTally())
        cpu_ms[kind] = round((now.cpu_ms - then.cpu_ms) / took_s, 2)
        waits[kind] = round((now.waits - then.waits) / took_s, 1)
    return {
        "cores": round(sum(cpu_ms.values()) / 1000, 4),
        "wakeups_per_s": round(sum(waits.values()), 1),
        "threads_ms_per_s": dict(sorted(cpu_ms.items(), key=lambda item: -item[1])),
        "threads_wakeups_per_s": dict(sorted(waits.items(), key=lambda item: -item[1])),
    }


def tallies(pid: int) -> dict[str, ThreadTally]:
    """The kernel's count for each kind of thread of a process. The threads of all cameras are one kind."""
    found: dict[str, ThreadTally] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            kind = (task / "comm").read_text().strip().partition("-")[0]
            ran_ns = int((task / "schedstat").read_text().split()[0])
            waits = _field(task / "status", "voluntary_ctxt_switches")
        except OSError:  # the thread has just ended
            continue
        so_far = found.get(kind, ThreadTally())
        found[kind] = ThreadTally(so_far.cpu_ms + ran_ns / 1e6, so_far.waits + waits)
    return found


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory of a process, and what of it is its own: not pages of programs and libraries."""
    status = Path(f"/proc/{pid}/status")
    return {"rss_mb": _field(status, "VmRSS") / 1024, "anonymous_mb": _field(status, "RssAnon") / 1024}


def _field(status: Path, name: str) -> int:
    lines = (line.partition(":") for line in status.read_text().splitlines())
    return next(int(value.split()[0]) for key, _, value in lines if key == name)
