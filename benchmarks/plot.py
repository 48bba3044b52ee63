"""Plots the results of `edge-inspector bench` and soak.py: SVGs beside each JSON. Needs matplotlib."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

LEVELS = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}


def throughput(axes: Axes, found: dict[str, Any]) -> None:
    """The pipeline against the model alone, round by round."""
    numbers = range(1, len(found["rounds"]) + 1)
    ways = {"": found} | ({", one core left": found["one_core_left"]} if "one_core_left" in found else {})
    for way, figures in ways.items():
        for name, label in (("raw_frames_per_s", "model alone"), ("pipeline_frames_per_s", "whole pipeline")):
            axes.plot(numbers, [row[name] for row in figures["rounds"]], "o-", label=label + way)
    axes.set(xlabel="round", ylabel="frames per second", ylim=(0, None))


def latency(axes: Axes, found: dict[str, Any]) -> None:
    """Medians of the stages, stacked, for each load, without the model's own time."""
    loads = list(found["loads"])
    bottom = [0.0] * len(loads)
    for stage in next(iter(found["loads"].values()))["stages_ms"]:
        if stage == "inference":
            continue
        medians = [found["loads"][load]["stages_ms"][stage]["p50"] for load in loads]
        axes.bar(loads, medians, bottom=bottom, label=stage)
        bottom = [below + own for below, own in zip(bottom, medians, strict=True)]
    axes.set(xlabel="load", ylabel="ms beside the model, p50")


def tail(axes: Axes, found: dict[str, Any]) -> None:
    """The latency of a view without the model, up to the tail, for each load."""
    loads = list(found["loads"])
    for level, label in LEVELS.items():
        _spread(axes, loads, [found["loads"][load] for load in loads], "added_latency_ms", level, label=label)
    axes.set(xlabel="load", ylabel="ms beside the model", yscale="log")


def growth(axes: Axes, found: dict[str, Any]) -> None:
    """CPU per frame against the number of cameras."""
    cameras = [row["cameras"] for row in found["rows"]]
    _spread(axes, cameras, found["rows"], "cpu_ms_per_frame", label="CPU ms per frame")
    axes.set(xlabel="cameras", ylabel="ms", ylim=(0, None))


def position(axes: Axes, found: dict[str, Any]) -> None:
    """The position error up to its tail, for each source."""
    for level, label in LEVELS.items():
        _spread(axes, list(found), list(found.values()), "position_error_mm", level, label=label, line="")
    axes.set(ylabel="position error, mm", ylim=(0, None))


def realtime(axes: Axes, found: dict[str, Any]) -> None:
    """p99 without the model, for each setting that has figures."""
    for situation, tried in found["situations"].items():
        allowed = {name: each for name, each in tried.items() if "rounds" in each}
        _spread(axes, list(allowed), list(allowed.values()), "added_latency_ms", "p99", label=situation, line="")
    axes.set(ylabel="ms beside the model, p99", yscale="log")
    axes.tick_params(axis="x", rotation=20)


def footprint(axes: Axes, found: dict[str, Any]) -> None:
    """Start and stop times, and the memory on a separate scale."""
    for name, label in (("start_s", "ready after, s"), ("stop_s", "stopped after, s")):
        _spread(axes, [label], [found], name, label=label)
    axes.set(ylabel="s", ylim=(0, None))
    memory = axes.twinx()
    _spread(memory, ["resident, MiB"], [found], "rss_mb", label="resident, MiB")
    memory.set(ylabel="MiB", ylim=(0, 1.2 * found["rss_mb"]))


def allocations(axes: Axes, found: dict[str, Any]) -> None:
    """Bytes of a frame at its peak, bytes that stay, and page faults."""
    axes.bar(list(found), list(found.values()), label="for each frame")
    axes.set(ylabel="bytes, or page faults", yscale="symlog")


def soak(axes: Axes, found: dict[str, Any]) -> None:
    """The daemon's memory, one point per turn through all phases."""
    turns = found["rss_by_turn_mb"]
    length = found["minutes"] / len(turns)
    axes.plot(
        [length * (turn + 0.5) for turn in range(len(turns))], turns, "o-", label="resident memory, median of a turn"
    )
    axes.set(xlabel="minutes", ylabel="MiB", ylim=(0, 1.2 * max(turns)))


def _spread(axes: Axes, places: list[Any], ways: list[dict[str, Any]], *path: str, label: str, line: str = "-") -> None:
    """The median of the rounds, with bars from the lowest to the highest."""
    rounds = [[_at(found, path) for found in way["rounds"]] for way in ways]
    middle = [_at(way, path) for way in ways]
    below = [value - min(values) for value, values in zip(middle, rounds, strict=True)]
    above = [max(values) - value for value, values in zip(middle, rounds, strict=True)]
    axes.errorbar(places, middle, (below, above), fmt=f"o{line}", capsize=3, label=label)


def _at(found: Any, path: tuple[str, ...]) -> float:
    for name in path:
        found = found[name]
    return float("nan") if found is None else float(found)


# By file: the text before the first "-" is the benchmark.
PLOTS: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
    "throughput": throughput,
    "latency": latency,
    "latency-tail": tail,
    "growth": growth,
    "position": position,
    "realtime": realtime,
    "footprint": footprint,
    "allocations": allocations,
    "soak": soak,
}


def main(folder: Path) -> None:
    """Plot every benchmark whose JSON lies in `folder`."""
    for name, draw in PLOTS.items():
        benchmark = name.partition("-")[0]
        file = folder / f"{benchmark}.json"
        if not file.exists():
            continue
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        written = json.loads(file.read_text())
        draw(axes, written.get(benchmark, written))
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
