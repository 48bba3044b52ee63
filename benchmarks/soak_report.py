"""The report of a soak: its phases, the parts and samples of each, and a table."""

from __future__ import annotations

import re
import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspector.codes import Decision
from edge_inspector.simulation.line import Line
from edge_inspector.store.results_file import results_path

_SETTLE_S = 10.0  # after a change of phase: effects of the last phase do not count for this one
COUNTS = ("parts", "inspected", "not_inspected", "late", "truth_defective", "escapes", "false_rejects", "recall")


@dataclass(frozen=True, slots=True)
class Plan:
    """The phases follow each other, `length_s` each, again and again."""

    phases: Sequence[str]
    length_s: float

    @property
    def turn_s(self) -> float:
        """The length of one turn through all phases."""
        return self.length_s * len(self.phases)

    def phase(self, at_s: float) -> str:
        """The phase at this time."""
        return self.phases[int(max(0.0, at_s) / self.length_s) % len(self.phases)]

    def settled(self, at_s: float) -> bool:
        """Whether the phase has already lasted long enough."""
        return at_s > 0 and at_s % self.length_s >= min(_SETTLE_S, self.length_s / 3)


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the daemon at one instant."""

    at_s: float
    rss_mb: float
    files: int
    log_lines: int
    archive_mb: float


@dataclass(frozen=True, slots=True)
class Told:
    """The verdict on one part at the PLC. `took_ms`: from the last exposure to the PLC's memory, None if unknown."""

    at_s: float
    decision: Decision
    late: bool
    defective: bool
    took_ms: float | None


def told(line: Line, ledger: Sequence[dict[str, Any]], verdicts: Sequence[dict[str, Any]], begun_ns: int) -> list[Told]:
    """Every part with a verdict at the PLC, with the truth about it."""
    mqtt = {(body["plc_boot_id"], body["part_seq"]): body for body in verdicts}
    parts = {(event["boot"], event["part_seq"]): event["part"] for event in ledger if event["kind"] == "trigger"}
    found = []
    for event in ledger:
        if event["kind"] != "verdict" or event["how"] == "duplicate":
            continue
        key = event["boot"], event["part_seq"]
        if key not in parts:  # `unaccounted` and `duplicates` count these
            continue
        body, decision, took_ms = mqtt.get(key), Decision(event["decision"]), None
        if body and body["views"] and event["written_ns"] and decision is not Decision.NOT_INSPECTED:
            took_ms = (event["written_ns"] - max(view["captured_ns"] for view in body["views"])) / 1e6
        at_s = (event["scan_ns"] - begun_ns) / 1e9
        found.append(Told(at_s, decision, event["how"] == "late", line.look.defective(parts[key]), took_ms))
    return found


def by_phase(plan: Plan, parts: Sequence[Told], samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """The whole run as "all", then each phase. Latency and memory of a phase leave out its first seconds."""
    columns = {
        phase: counted([part for part in parts if plan.phase(part.at_s) == phase])
        | spread(
            [
                part.took_ms
                for part in parts
                if part.took_ms is not None and plan.phase(part.at_s) == phase and plan.settled(part.at_s)
            ]
        )
        | {"rss_mb": _rss([each for each in samples if plan.phase(each.at_s) == phase and plan.settled(each.at_s)])}
        for phase in plan.phases
    }
    whole = counted(parts) | spread([part.took_ms for part in parts if part.took_ms is not None])
    return {"all": whole} | columns


def counted(parts: Sequence[Told]) -> dict[str, float | None]:
    """The number of parts of each kind. Escapes, false rejects and recall are of inspected parts."""
    inspected = [part for part in parts if part.decision is not Decision.NOT_INSPECTED]
    defective = sum(part.defective for part in inspected)
    escapes = sum(part.defective and part.decision is Decision.ACCEPT for part in inspected)
    return {
        "parts": len(parts),
        "inspected": len(inspected),
        "not_inspected": len(parts) - len(inspected),
        "late": sum(part.late for part in parts),
        "truth_defective": sum(part.defective for part in parts),
        "escapes": escapes,
        "false_rejects": sum(not part.defective and part.decision is Decision.REJECT for part in inspected),
        "recall": round(1 - escapes / defective, 4) if defective else None,
    }


def kept(folder: Path) -> dict[str, Any]:
    """How many verdicts are in the store, and how many pictures the archive left out."""
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


def table(report: dict[str, Any]) -> str:
    """The report as Markdown, with a column for the whole run and for each phase."""
    columns = report["phases"]
    rows = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    rows += [
        f"| `{name}` | " + " | ".join(str(column.get(name, "")) for column in columns.values()) + " |"
        for name in (*COUNTS, "p50_ms", "p99_ms", "max_ms", "rss_mb")
    ]
    rows.append("")
    rows += [f"{name}: {value}" for name, value in report.items() if name not in ("phases", "complaints", "slower")]
    return "\n".join(rows)


def _rss(samples: Sequence[Sample]) -> float | None:
    return round(statistics.median(each.rss_mb for each in samples), 1) if samples else None
