"""The command `edge-inspector bench`: run, write JSON and plots, compare the figures with the budgets."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_inspector import __version__
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.runtime.clock import utc_text
from edge_inspector.simulation.bench.budgets import broken, read_budgets
from edge_inspector.simulation.bench.effort import Effort
from edge_inspector.simulation.bench.measures import BENCHMARKS
from edge_inspector.simulation.bench.rounds import Figures
from edge_inspector.simulation.bench.tables import table


def run_bench(names: Sequence[str], effort: Effort, out: Path, budgets: Path | None) -> int:
    """Run the named benchmarks (all of them without a name) and print their tables. 1 if a budget is broken."""
    held = read_budgets(budgets) if budgets else []
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([Fault("--out", f"{out} cannot be written: {error.strerror}")]) from error
    results: dict[str, Figures] = {}
    for name in names or list(BENCHMARKS):
        print(f"{name}: {BENCHMARKS[name].__doc__}", flush=True)
        results[name] = BENCHMARKS[name](effort)
        (out / f"{name}.json").write_text(json.dumps({"about": _about(effort), name: results[name]}, indent=1) + "\n")
        print(table(name, results[name]), flush=True)
    failures = broken(held, results)
    for line in failures:
        print(f"over budget: {line}", file=sys.stderr)
    return 1 if failures else 0


def _about(effort: Effort) -> dict[str, Any]:
    return {
        "version": __version__,
        "utc": utc_text(time.monotonic_ns()),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "model": effort.model,
        "seconds": effort.seconds,
        "repeats": effort.repeats,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
