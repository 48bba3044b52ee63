"""A benchmark's figures as a table in Markdown, in the form of benchmarks/README.md.

A figure is the median of the rounds. Brackets show the lowest and highest round, if they differ.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from edge_inspector.simulation.bench.realtime import SHIPPED
from edge_inspector.simulation.bench.rounds import Figures

LEVELS = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
THROUGHPUT = {
    "raw_frames_per_s": "the runtime alone, frames/s",
    "asked_frames_per_s": "frames/s that were to be offered",
    "offered_frames_per_s": "frames/s that were offered",
    "pipeline_frames_per_s": "the whole pipeline, frames/s",
    "ratio": "ratio to the runtime alone",
    "ratio_beside_world": "ratio to the runtime on what PLC and broker leave",
    "cpu_ms_per_frame": "CPU of a judged frame, ms",
    "model_share": "the model's share of it",
    "beside_model_ms_per_frame": "CPU beside the model for a judged frame, ms",
    "beside_model_ms_per_part": "CPU beside the model for a part, ms",
    "lock_ms_per_frame": "interpreter's lock held for a frame, ms",
    "joule_per_frame": "energy of the machine for a frame, J",
    "daemon_cores": "CPU of the daemon, cores",
    "world_cores": "CPU of PLC and broker, cores",
    "page_faults_per_frame": "page faults per frame",
}
ENOUGH = 0.97  # of the frames that were to be offered
_ADDED = "added_latency_ms"
_FEW = "p99.9 of up to 1000 values is the maximum"


def table(name: str, found: Figures) -> str:
    """The table of this benchmark. JSON if it has none."""
    return _TABLES[name](found) if name in _TABLES else json.dumps(found, indent=1)


def spread(found: Figures, *path: str) -> str:
    """The figure at `path` over the rounds. `-` if a round has none."""
    values = [_at(each, path) for each in found["rounds"]]
    if None in values:
        return "-"
    middle, least, most = (_number(pick(values)) for pick in (statistics.median, min, max))
    return middle if least == most else f"{middle} ({least} to {most})"


def _throughput(found: Figures) -> str:
    columns = [found, *([found["one_core_left"]] if "one_core_left" in found else [])]
    rows = [[label, *(spread(each, key) for each in columns)] for key, label in THROUGHPUT.items()]
    rows += [
        [f"CPU ms/s: {kind}", *(spread(each, "threads_ms_per_s", kind) for each in columns)]
        for kind in found["threads_ms_per_s"]
    ]
    rows += [
        [
            f"{stage}, ms, {' / '.join(LEVELS.values())}",
            *(" / ".join(_medians(each["stages_ms"][stage])) for each in columns),
        ]
        for stage in found["stages_ms"]
    ]
    rows.append(_counts("verdicts late / unaccounted", columns, ["late", "unaccounted"]))
    return _markdown(["the model's threads", *(_number(each["workers"]) for each in columns)], rows) + _short(columns)


def _short(columns: Sequence[Figures]) -> str:
    """A line for each column whose line could not offer what it was to offer."""
    lines = [
        f"\n\n**{_number(each['workers'])} threads: only {_number(each['offered_frames_per_s'])} of "
        f"{_number(each['asked_frames_per_s'])} frames/s could be offered. These figures show the limit "
        "of the simulated line, not of the daemon.**"
        for each in columns
        if each["offered_frames_per_s"] < ENOUGH * each["asked_frames_per_s"]
    ]
    return "".join(lines)


def _latency(found: Figures) -> str:
    loads = found["loads"].values()
    head = [f"latency, ms, with 2 cameras, {found['workers']} of the model's threads", *found["loads"]]
    head[-1] += f" of the line's own {_number(found['capacity_frames_per_s'])} frames/s"
    rows = [
        [f"{stage}, {' / '.join(LEVELS.values())}", *(" / ".join(_medians(load["stages_ms"][stage])) for load in loads)]
        for stage in next(iter(loads))["stages_ms"]
    ]
    rows += _added(loads)
    rows.append(["frames/s", *(spread(load, "frames_per_s") for load in loads)])
    rows.append(_counts("verdicts late / unaccounted", loads, ["late", "unaccounted"]))
    return _markdown(head, rows) + f"\n\nThe stages' spread is in the JSON. {_FEW}."


def _growth(found: Figures) -> str:
    columns = [*found["rows"], found["past_saturation"]]
    names = [_number(row["cameras"]) for row in columns]
    names[-1] += ", too many frames"
    rows = [["frames/s", *(spread(each, "frames_per_s") for each in columns)]]
    rows.append(["daemon's CPU per frame, ms", *(spread(each, "cpu_ms_per_frame") for each in columns)])
    for kind, label in (("segment", "the model's threads"), ("report", "the links")):
        rows.append([f"of it {label}", *(spread(each, "threads_ms_per_frame", kind) for each in columns)])
    rows.append(["page faults per frame", *(spread(each, "page_faults_per_frame") for each in columns)])
    rows.append(["memory, MiB", *(spread(each, "rss_mb") for each in columns)])
    rows += _added(columns)
    rows.append(["parts", *(spread(each, "parts") for each in columns)])
    rows.append(["not inspected", *(spread(each, "not_inspected") for each in columns)])
    rows.append(_counts("late / unaccounted", columns, ["late", "unaccounted"]))
    return _markdown(["cameras", *names], rows) + f"\n\n{_FEW}."


def _position(found: Figures) -> str:
    errors = {level: f"error {label}" for level, label in LEVELS.items()} | {"n": "n, views"}
    head = ["position, mm", *errors.values(), "bound p50", "bound max", "bound broken"]
    rows = [
        [
            name,
            *(spread(each, "position_error_mm", key) for key in errors),
            *(spread(each, "position_bound_mm", level) for level in ("p50", "max")),
            str(each["position_bound_broken"]),
        ]
        for name, each in found.items()
    ]
    return _markdown(head, rows) + f"\n\n{_FEW}."


def _realtime(found: Figures) -> str:
    levels = ("p50", "p99", "p999")
    head = [
        "`[realtime]`",
        *(f"all but the model {LEVELS[level]}, ms" for level in levels),
        "n, parts",
        "frames/s",
        "late / unaccounted",
    ]
    rows = []
    for situation, tried in found["situations"].items():
        for name, each in tried.items():
            label = f"{situation}: {name if name == SHIPPED else f'`{name}`'}"
            if "rounds" not in each:
                rows.append([label, *(f"{how}: {why}" for how, why in each.items()), *[""] * (len(head) - 2)])
                continue
            rows.append(
                [
                    label,
                    *(spread(each, _ADDED, level) for level in levels),
                    spread(each, _ADDED, "n"),
                    spread(each, "frames_per_s"),
                    f"{each['late']} / {each['unaccounted']}",
                ]
            )
    return _markdown(head, rows) + f"\n\n{_FEW}."


def _footprint(found: Figures) -> str:
    names = {"rss_mb": "resident memory, MiB", "start_s": "ready after, s", "stop_s": "stopped after, s"}
    return _markdown(["four GigE Vision cameras", ""], [[label, spread(found, key)] for key, label in names.items()])


def _standing(found: Figures) -> str:
    names = {"cores": "CPU, cores", "wakeups_per_s": "wake-ups a second"}
    names |= {"rss_mb": "resident memory, MiB", "anonymous_mb": "of it not of files, MiB"}
    rows = [[label, spread(found, key)] for key, label in names.items()]
    for kind in found["threads_ms_per_s"]:
        used, woken = (spread(found, f"threads_{what}", kind) for what in ("ms_per_s", "wakeups_per_s"))
        rows.append([f"CPU ms/s and wake-ups a second: {kind}", f"{used}, {woken}"])
    return _markdown(["a line that stands, four GigE Vision cameras", ""], rows)


_TABLES: dict[str, Callable[[Figures], str]] = {
    "throughput": _throughput,
    "latency": _latency,
    "growth": _growth,
    "position": _position,
    "realtime": _realtime,
    "footprint": _footprint,
    "standing": _standing,
}


def _added(columns: Iterable[Figures]) -> list[list[str]]:
    names = {level: f"all but the model {label}, ms" for level, label in LEVELS.items()} | {"n": "n, parts"}
    columns = list(columns)
    return [[label, *(spread(each, _ADDED, level) for each in columns)] for level, label in names.items()]


def _counts(label: str, columns: Iterable[Figures], keys: list[str]) -> list[str]:
    return [label, *(" / ".join(str(each[key]) for key in keys) for each in columns)]


def _medians(figures: Figures) -> list[str]:
    return ["-" if figures[level] is None else _number(figures[level]) for level in LEVELS]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _at(found: Any, path: Iterable[str]) -> Any:
    for name in path:
        found = found.get(name)
    return found


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
