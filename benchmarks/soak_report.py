"""What a soak was worth: latency by phase, and whether anything grew, filled or broke."""

from __future__ import annotations

import re
import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspector.store.results_file import results_path

BUDGET_MB = 16
WARM_UP_S = 20.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon is like at one instant."""

    at_s: float
    phase: str
    rss_mb: float
    files: int
    log_lines: int
    archive_mb: float


def latencies(
    ledger: Sequence[dict[str, Any]],
    verdicts: Sequence[dict[str, Any]],
    phases: Sequence[str],
    begun_ns: int,
    length_s: float,
) -> dict[str, dict[str, Any]]:
    """Last exposure to the PLC's memory, in ms, and late verdicts, by phase."""
    mqtt = {(body["plc_boot_id"], body["part_seq"]): body for body in verdicts}
    found: dict[str, list[float]] = {phase: [] for phase in phases}
    late = dict.fromkeys(phases, 0)
    uninspected = dict.fromkeys(phases, 0)
    for event in ledger:
        if event["kind"] != "verdict" or event["how"] == "duplicate":
            continue
        at_s = (event["scan_ns"] - begun_ns) / 1e9
        phase = phases[min(len(phases) - 1, max(0, int(at_s / length_s)))]
        late[phase] += event["how"] == "late"
        uninspected[phase] += event["decision"] == 3
        body = mqtt.get((event["boot"], event["part_seq"]))
        if body and body["views"] and event["written_ns"] and event["decision"] != 3:
            captured_ns = max(view["captured_ns"] for view in body["views"])
            found[phase].append((event["written_ns"] - captured_ns) / 1e6)
    return {
        phase: {"parts": len(values), "late": late[phase], "not_inspected": uninspected[phase], **spread(values)}
        for phase, values in found.items()
    }


def kept(folder: Path) -> dict[str, Any]:
    """How many verdicts are in the store, and what the archive says that it left out."""
    said = (folder / "metrics.txt").read_text()
    with closing(sqlite3.connect(results_path(folder / "state"))) as db:
        parts = db.execute("SELECT count(*) FROM parts").fetchone()[0]
    left_out = re.findall(r'^edge_inspector_archive_left_out_total\{what="(\w+)"\} ([0-9.e+]+)', said, re.MULTILINE)
    return {"results_kept": parts, "left_out": {what: int(float(count)) for what, count in left_out}}


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p99 and max."""
    ranked = sorted(values)
    if not ranked:
        return {"p50_ms": None, "p99_ms": None, "max_ms": None}
    p99 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
    return {"p50_ms": round(statistics.median(ranked), 2), "p99_ms": round(p99, 2), "max_ms": round(ranked[-1], 2)}


def judged(
    report: dict[str, Any],
    samples: Sequence[Sample],
    per_phase: dict[str, dict[str, Any]],
    minutes: float,
) -> dict[str, Any]:
    """Everything in one report, with what is not within bounds."""
    for phase, figures in per_phase.items():
        last = [each.rss_mb for each in samples if each.phase == phase]
        figures["rss_mb"] = round(statistics.median(last[-len(last) // 3 :]), 1)
    warm = [each for each in samples if each.at_s > min(WARM_UP_S, minutes * 15)]
    # Clients take memory when they come, and on a full disk verdicts wait there, up to a bound: these are no leaks.
    steady = [each for each in warm if each.phase != "quiet" and "full" not in each.phase]
    later = steady[len(steady) // 4 :]
    slope = statistics.linear_regression([each.at_s for each in later], [each.rss_mb for each in later]).slope
    noise = statistics.pstdev(each.rss_mb for each in later)
    grown_mb = slope * (later[-1].at_s - later[0].at_s)
    thirds = [statistics.median(each.files for each in part) for part in (warm[: len(warm) // 3], later)]
    lines = warm[-1].log_lines - warm[0].log_lines
    lines_per_s = lines / (warm[-1].at_s - warm[0].at_s)
    result = {
        "minutes": minutes,
        "parts": report["parts_triggered"],
        "unaccounted": report["unaccounted"],
        "duplicates": report["duplicates"],
        "rss_mb": round(later[-1].rss_mb, 1),
        "rss_slope_mb_per_h": round(slope * 3600, 2),
        "rss_grown_mb": round(grown_mb, 2),
        "rss_noise_mb": round(noise, 2),
        "files_first_third": thirds[0],
        "files_later": thirds[1],
        "files_max": max(each.files for each in warm),
        "log_lines_per_s": round(lines_per_s, 3),
        "archive_max_mb": round(max(each.archive_mb for each in samples), 2),
        "archive_budget_mb": BUDGET_MB,
        "results_kept": report["results_kept"],
        "left_out": report["left_out"],
        "client_answers": report["client_answers"],
        "client_failures": report["client_failures"],
        "client_last_failure": report["client_last_failure"],
        "client_live_mb": report["client_live_mb"],
        "phases": per_phase,
        "daemon_stop_s": report["daemon_stop_s"],
    }
    rss = [figures["rss_mb"] for figures in per_phase.values()]
    bounds = {
        "a part without a verdict, or with two": report["unaccounted"] == report["duplicates"] == 0,
        "memory grows beyond its noise": grown_mb < max(8.0, 3 * noise),
        "more waits in memory than there is room for": rss[-1] - rss[0] < 48,
        "open files grow": thirds[1] - thirds[0] <= 12,
        "more than a log line a second": lines_per_s <= 1.0,
        # Seen from outside, file by file, while some come and go.
        "the archive is beyond its budget": result["archive_max_mb"] <= BUDGET_MB * 1.03,
        "no client was answered": report["client_answers"] > 0,
    }
    return result | {"complaints": [what for what, holds in bounds.items() if not holds]}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rows = ["| | " + " | ".join(report["phases"]) + " |", "|---|" + "---|" * len(report["phases"])]
    rows += [
        f"| {name} | " + " | ".join(str(phase[name]) for phase in report["phases"].values()) + " |"
        for name in ("parts", "not_inspected", "late", "p50_ms", "p99_ms", "max_ms", "rss_mb")
    ]
    rows.append("")
    rows += [f"{name}: {value}" for name, value in report.items() if name not in ("phases", "complaints")]
    return "\n".join(rows)
