"""The bounds of a soak: nothing lost, no growth, no delays."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from soak_report import Plan, Sample

# Compared with the quiet phases of the same run: a factor, and the delay that a scheduler on two cores adds.
P50 = (1.2, 2.0)
P99 = (1.5, 10.0)
LATE_MORE = 0.001  # of the parts
NOT_INSPECTED_MORE = 0.01
SLOPE_MB_PER_H = 4.0
SHORT_MIN = 30.0
GROWN_MB = 12.0  # short runs, in each phase from its first turn to its last
FILES_GROWN = 5.0  # clients open a connection for each request


def judged(
    report: dict[str, Any], plan: Plan, samples: Sequence[Sample], phases: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """One report on everything. `complaints`: what grew, filled up or broke. `slower`: slower phases and figures."""
    warm = [each for each in samples if each.at_s >= plan.turn_s and plan.settled(each.at_s)]
    span_s = warm[-1].at_s - warm[0].at_s
    slope = slope_within_phases(plan, warm, lambda each: each.rss_mb)
    by_turn = median_by_turn(plan, samples)
    by_phase = {
        phase: median_by_turn(plan, [each for each in samples if plan.phase(each.at_s) == phase])
        for phase in plan.phases
    }
    files_grown = slope_within_phases(plan, warm, lambda each: each.files) * span_s
    lines_per_s = (warm[-1].log_lines - warm[0].log_lines) / span_s
    result = {
        "phases": phases,
        "minutes": report["minutes"],
        "turns": round(report["minutes"] * 60 / plan.turn_s),
        "model": report["model"],
        "parts_triggered": report["parts_triggered"],
        "unaccounted": report["unaccounted"],
        "duplicates": report["duplicates"],
        "rss_slope_mb_per_h": round(slope * 3600, 2),
        "rss_grown_mb": round(slope * span_s, 2),
        "rss_by_turn_mb": by_turn,
        "rss_by_phase_mb": by_phase,
        "rss_max_mb": round(max(each.rss_mb for each in samples), 1),
        "files_grown": round(files_grown, 2),
        "files_max": max(each.files for each in warm),
        "log_lines_per_s": round(lines_per_s, 3),
        "archive_max_mb": round(max(each.archive_mb for each in samples), 2),
    } | {
        name: report[name]
        for name in (
            "archive_budget_mb",
            "results_kept",
            "left_out",
            "client_answers",
            "client_failures",
            "client_last_failure",
            "client_live_mb",
            "daemon_stop_s",
        )
    }
    bounds = {
        "a part without a verdict, or with two": report["unaccounted"] == report["duplicates"] == 0,
        "memory grows": not memory_grows(report["minutes"], slope * 3600, by_phase.values()),
        "open files grow": files_grown < FILES_GROWN,
        "more than a log line a second": lines_per_s <= 1.0,
        # Seen from outside, file by file, while files come and go.
        "the archive is beyond its budget": result["archive_max_mb"] <= report["archive_budget_mb"] * 1.03,
        "a verdict is missing in the results": report["results_kept"] == report["parts_triggered"],
        "no client was answered": report["client_answers"] > 0,
    }
    return result | {
        "complaints": [what for what, holds in bounds.items() if not holds],
        "slower": slower({name: phases[name] for name in plan.phases}),
    }


def memory_grows(minutes: float, slope_mb_per_h: float, by_phase: Iterable[Sequence[float]]) -> bool:
    """Whether memory grows. `by_phase` has a median for each turn, for each phase.

    The slope decides if the phases were repeated often. In the first turn of a short run the allocator is not yet
    steady, and keeps pages after some phases. A leak lifts every phase from turn to turn.
    """
    if minutes < SHORT_MIN:
        return min(turns[-1] - turns[0] for turns in by_phase) > GROWN_MB
    return slope_mb_per_h > SLOPE_MB_PER_H


def median_by_turn(plan: Plan, samples: Sequence[Sample]) -> list[float]:
    """Memory, one median per turn through all phases. A leak continues over the turns, an allocator settles."""
    turns: dict[int, list[float]] = {}
    for each in samples:
        if plan.settled(each.at_s):
            turns.setdefault(int(each.at_s // plan.turn_s), []).append(each.rss_mb)
    return [round(statistics.median(values), 1) for _, values in sorted(turns.items())]


def slope_within_phases(plan: Plan, samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    """Growth per second, common to all phases. Each phase has its own level, because clients take memory."""
    above = below = 0.0
    for phase in plan.phases:
        own = [each for each in samples if plan.phase(each.at_s) == phase]
        if len(own) < 2:
            continue
        middle_s, level = statistics.fmean(each.at_s for each in own), statistics.fmean(map(value, own))
        above += sum((each.at_s - middle_s) * (value(each) - level) for each in own)
        below += sum((each.at_s - middle_s) ** 2 for each in own)
    return above / below if below else 0.0


def slower(phases: dict[str, dict[str, Any]]) -> list[str]:
    """The figures in which each phase was worse than the first one, beyond the tolerance."""
    (_, quiet), *others = phases.items()
    found = []
    for name, phase in others:
        for figure, (factor, more) in (("p50_ms", P50), ("p99_ms", P99)):
            if quiet[figure] is None or phase[figure] is None:
                found.append(f"{name}: {figure} is not known")
            elif phase[figure] > (most := quiet[figure] * factor + more):
                found.append(f"{name}: {figure} {phase[figure]}, at most {most:.1f} as quiet has {quiet[figure]}")
        for figure, more in (("late", LATE_MORE), ("not_inspected", NOT_INSPECTED_MORE)):
            shares = [each[figure] / max(1, each["parts"]) for each in (quiet, phase)]
            if shares[1] > shares[0] + more:
                found.append(f"{name}: {figure} {shares[1]:.2%} of the parts, quiet {shares[0]:.2%}")
    return found
