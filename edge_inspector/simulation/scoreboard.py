"""The display of the demo in the terminal, while it runs and at its end."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from edge_inspector.codes import Decision
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.recorder import Recorder

_MARKS = {Decision.ACCEPT: "·", Decision.REJECT: "R", Decision.NOT_INSPECTED: "?"}


class Scoreboard:
    """Redraws itself in a terminal. Otherwise it prints a line every five seconds."""

    def __init__(self, line: Line, broker: str, folder: Path, page: str) -> None:
        self._line = line
        self._live = sys.stdout.isatty()
        self._drawn = 0
        self._next_s = 0.0
        self._read_to = 0
        self._tally: Counter[str] = Counter()
        self._strip: deque[str] = deque(maxlen=60)
        self._latency_ms: deque[float] = deque(maxlen=100)
        print(
            f"edge-inspector demo: {line.lanes} cameras, {line.speed_mm_s / 1000:g} m/s, a part every "
            f"{line.pitch_mm:g} mm ({line.speed_mm_s / line.pitch_mm:.1f} parts/s), gate at {line.gate_mm:g} mm\n"
            f"broker: {broker}   files: {folder}   Ctrl-C ends it\n"
            f"operator page: {page}\n",
            flush=True,
        )

    def show(self, ledger: Path, recorder: Recorder) -> None:
        """Update the board."""
        self._follow(ledger)
        if not self._live and time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + 5.0
        rows = self._rows(recorder)
        if self._live:
            print(f"\x1b[{self._drawn}F" if self._drawn else "", end="")
            print("\n".join(f"\x1b[2K{row}" for row in rows), flush=True)
            self._drawn = len(rows)
        else:
            print("  ".join(row.strip() for row in rows[:3]), flush=True)

    def note(self, text: str) -> None:
        """Print a line below the board."""
        print(f"\n{text}", flush=True)

    def _follow(self, ledger: Path) -> None:
        if not ledger.exists():
            return
        with ledger.open() as file:
            file.seek(self._read_to)
            for text in iter(file.readline, ""):
                if not text.endswith("\n"):
                    break
                self._read_to = file.tell()
                self._take(json.loads(text))

    def _take(self, event: dict[str, Any]) -> None:
        if event["kind"] == "verdict":
            self._tally[Decision(event["decision"]).name.lower()] += 1
            self._tally["late"] += event["how"] == "late"
            self._strip.append(_MARKS[Decision(event["decision"])])
            self._latency_ms.append(event["latency_us"] / 1000)
        elif event["kind"] == "gate" and event["fired"]:
            self._tally["fired"] += 1
            self._tally["wrong"] += event["hit"] != event["part"]
        self._tally[event["kind"]] += 1

    def _rows(self, recorder: Recorder) -> list[str]:
        now = time.monotonic_ns()
        tally = self._tally
        moved_m = self._line.belt.position_mm(now) / 1000
        latency_ms = statistics.median(self._latency_ms) if self._latency_ms else 0.0
        return [
            f"  belt {moved_m:8.1f} m   parts {tally['trigger']:6d}   verdicts {tally['verdict']:6d}",
            f"  ACCEPT {tally['accept']:5d}   REJECT {tally['reject']:5d}   NOT_INSPECTED {tally['not_inspected']:5d}",
            f"  gate fired {tally['fired']:5d}   wrong part {tally['wrong']:3d}   late {tally['late']:3d}",
            f"  station {recorder.state or '?':9}   decided in {latency_ms:5.1f} ms   MQTT {recorder.count:6d}",
            "  " + "".join(self._strip),
        ]

    @staticmethod
    def summary(report: dict[str, Any]) -> None:
        """Print the most important figures at the end."""

        def spread(name: str) -> str:
            found = report[name]
            return "/".join("-" if found[key] is None else f"{found[key]:g}" for key in ("p50", "p99", "max"))

        kept = not (report["unaccounted"] or report["duplicates"] or report["late"])
        web = ""
        if "web_lost_mm" in report:
            lost_m, alone_m = (report[name] / 1000 for name in ("web_lost_mm", "web_passed_alone_mm"))
            web = (
                f"web without a verdict: {lost_m:g} m while the line counted on the station, {alone_m:g} m while it "
                "knew that nobody looked\n"
            )
        print(
            f"\n{report['parts_triggered']} parts: {report['accept']} ACCEPT, {report['reject']} REJECT, "
            f"{report['not_inspected']} NOT_INSPECTED {report['not_inspected_reasons'] or ''}\n"
            f"promise 1: {'kept' if kept else 'BROKEN'} (unaccounted {report['unaccounted']}, duplicates "
            f"{report['duplicates']}, late {report['late']})\n"
            f"{web}gate: {report['gate_hits']} hits, {report['gate_misses']} misses, "
            f"{report['gate_wrong_part']} wrong parts\n"
            f"judgement: {report['truth_defective']} truly defective, {report['escapes']} escapes, "
            f"{report['false_rejects']} false rejects\n"
            f"position error p50/p99/max {spread('position_error_mm')} mm\n"
            f"capture to PLC p50/p99/max {spread('capture_to_plc_ms')} ms, of it model {spread('inference_ms')} ms, "
            f"added {spread('added_latency_ms')} ms\n"
            f"model {report['model']}, {report['rss_mb']} MB, {report['duration_s']} s"
        )
