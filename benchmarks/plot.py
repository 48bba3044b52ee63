"""Draws what `edge-inspector bench` wrote: one SVG beside each JSON. Needs matplotlib."""

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


def throughput(axes: Axes, found: dict[str, Any]) -> None:
    """Pipeline against the model alone, round by round."""
    numbers = range(1, len(found["rounds"]) + 1)
    ways = {"": found} | ({", one core left": found["one_core_left"]} if "one_core_left" in found else {})
    for way, figures in ways.items():
        for name, label in (("raw_frames_per_s", "model alone"), ("pipeline_frames_per_s", "whole pipeline")):
            axes.plot(numbers, [row[name] for row in figures["rounds"]], "o-", label=label + way)
    axes.set(xlabel="round", ylabel="frames per second", ylim=(0, None))


def latency(axes: Axes, found: dict[str, Any]) -> None:
    """Medians of the stages, stacked, for each load; the model's own time left out."""
    loads = list(found["loads"])
    bottom = [0.0] * len(loads)
    for stage in next(iter(found["loads"].values()))["stages_ms"]:
        if stage == "inference":
            continue
        medians = [found["loads"][load]["stages_ms"][stage]["p50"] for load in loads]
        axes.bar(loads, medians, bottom=bottom, label=stage)
        bottom = [below + own for below, own in zip(bottom, medians, strict=True)]
    axes.set(xlabel="load", ylabel="ms beside the model, p50")


def growth(axes: Axes, found: dict[str, Any]) -> None:
    """CPU per frame against the number of cameras."""
    cameras = [row["cameras"] for row in found["rows"]]
    axes.plot(cameras, [row["cpu_ms_per_frame"] for row in found["rows"]], "o-", label="CPU ms per frame")
    axes.set(xlabel="cameras", ylabel="ms", ylim=(0, None))


def position(axes: Axes, found: dict[str, Any]) -> None:
    """p50, p99 and maximum of the error for each source."""
    for at, key in enumerate(("p50", "p99", "max")):
        places = [place + 0.25 * at for place in range(len(found))]
        axes.barh(places, [row["position_error_mm"][key] for row in found.values()], 0.22, label=key)
    axes.set_yticks([place + 0.25 for place in range(len(found))], list(found))
    axes.set(xlabel="position error, mm")


PLOTS: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
    "throughput": throughput,
    "latency": latency,
    "growth": growth,
    "position": position,
}


def main(folder: Path) -> None:
    """Plot every benchmark whose JSON lies in `folder`."""
    for name, draw in PLOTS.items():
        file = folder / f"{name}.json"
        if not file.exists():
            continue
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        draw(axes, json.loads(file.read_text())[name])
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
