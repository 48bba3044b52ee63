"""What every simulated line has: parts that come by, a counter, a gate that hits what is there, and a ledger."""

from __future__ import annotations

import argparse
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, TextIO

from edge_inspector.simulation.line import Line
from edge_inspector.simulation.signals import told_by_signals

SCAN_NS = 10_000_000
_STOOD_NS = 400_000_000
_NEVER = 2**63
_MOMENT_NS = 1_000_000
_RUNNING = 0.95  # of the speed. The ripple is smaller


@dataclass(slots=True)
class Carried:
    """A part between photo-eye and gate, as the line's own program knows it."""

    part_seq: int
    part: int
    count: int
    due_mm: float
    _: KW_ONLY
    at_ns: int
    verdict: dict[str, Any] | None = None
    void: bool = False
    """The belt has stopped since, and nobody counted how far it went."""


class World(ABC):
    """One line, scan by scan. Subclasses announce parts and take verdicts. `boot` names the run in the ledger."""

    def __init__(self, line: Line, ledger: TextIO, *, boot: int) -> None:
        self.line = line
        self.boot = boot
        self.zero = line.counter_zero(boot)
        self.carried: list[Carried] = []
        self._ledger = ledger
        self._next = 0
        self._next_ns = _NEVER
        self._standing = True
        self._counts_on: bool | None = None
        self._write = threading.Lock()

    @abstractmethod
    def scan(self, now_ns: int) -> None:
        """One cycle of the line's own program."""

    @abstractmethod
    def stop(self) -> None:
        """Close what the line has open."""

    def run(self, stop: threading.Event, no_more_parts: threading.Event) -> None:
        """Scan until `stop` is set."""
        due = scanned_ns = time.monotonic_ns()
        while not stop.is_set():
            due = max(due + SCAN_NS, time.monotonic_ns() - SCAN_NS)
            time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            if self._standing and self.line.started:
                self._begin()
            if no_more_parts.is_set():
                self._next_ns = _NEVER
            now = time.monotonic_ns()
            if now - scanned_ns > _STOOD_NS:  # a program that stood still itself has counted on nobody meanwhile
                self.counts_on(scanned_ns, ready=False)
            scanned_ns = now
            self.scan(now)
            self._ledger.flush()
        self.stop()

    def arrivals(self, now_ns: int) -> Iterator[tuple[int, int, int]]:
        """The parts that met the photo-eye by now: number, time and the counter's value at that instant."""
        while self._next_ns <= now_ns:
            part, at_ns = self._next, self._next_ns
            yield part, at_ns, self.line.raw_count(self.line.eye_mm(part), self.zero)
            self._next += 1
            self._next_ns = self._eye_ns()

    def carry(self, part_seq: int, part: int, count: int, at_ns: int) -> None:
        """A part is on its way to the gate."""
        self.carried.append(Carried(part_seq, part, count, self.line.eye_mm(part) + self.line.gate_mm, at_ns=at_ns))
        self.log("trigger", part_seq=part_seq, part=part, count=count, at_ns=at_ns)

    def position_mm(self, at_ns: int) -> float:
        """How far the belt has moved."""
        return self.line.belt.position_mm(at_ns)

    def count(self, at_ns: int) -> int:
        """What the counter shows."""
        return self.line.raw_count(self.position_mm(at_ns), self.zero)

    def running(self) -> bool:
        """Whether the drive is on: the belt runs at its speed, and does not slow down."""
        now = time.monotonic_ns()
        moved_mm = self.position_mm(now + _MOMENT_NS) - self.position_mm(now)
        return self.line.started and moved_mm > _RUNNING * self.line.speed_mm_s * _MOMENT_NS / 1e9

    def taken(self, part_seq: int, verdict: dict[str, Any]) -> None:
        """The line has a verdict. `verdict` has decision, reason and rejects, and more if it is known."""
        carried = next((each for each in self.carried if each.part_seq == part_seq), None)
        how = "late" if carried is None else "in time" if carried.verdict is None else "duplicate"
        if carried is not None and carried.verdict is None:
            carried.verdict = verdict
        now = time.monotonic_ns()
        self.log(
            "verdict",
            **{"part_seq": part_seq, "part": carried and carried.part, "how": how, "scan_ns": now, "written_ns": now}
            | {"latency_us": 0}
            | verdict,
        )

    def counts_on(self, now_ns: int, *, ready: bool) -> None:
        """Whether the line's own program counts on the station from now on."""
        if ready is not self._counts_on:
            self._counts_on = ready
            self.log("ready", ready=ready, at_ns=now_ns)

    def fire(self, carried: Carried, at_ns: int, *, fired: bool, why: str) -> None:
        """The gate acts on a part at this instant. It hits what the belt then has there."""
        self.carried.remove(carried)
        position_mm = self.position_mm(at_ns)
        self.log(
            "gate",
            part_seq=carried.part_seq,
            part=carried.part,
            fired=fired,
            why=why,
            hit=self.line.part_at_gate(position_mm) if fired else None,
            at_ns=at_ns,
            **(self._missed_by(carried, position_mm) if why == "verdict" else {}),
        )

    def _missed_by(self, carried: Carried, position_mm: float) -> dict[str, Any]:
        """How far the part was from the gate when the gate acted, and how far the verdict says that it may be."""
        bound_ms = (carried.verdict or {}).get("bound_ms")
        fastest_mm_s = self.line.speed_mm_s * (1 + self.line.ripple)
        return {
            "error_mm": round(position_mm - carried.due_mm, 3),
            "bound_mm": None if bound_ms is None else round(bound_ms / 1000 * fastest_mm_s, 3),
        }

    def log(self, kind: str, **fields: Any) -> None:
        """Write one event."""
        with self._write:
            self._ledger.write(json.dumps({"kind": kind, "boot": self.boot, **fields}) + "\n")

    def _begin(self) -> None:
        self._standing = False
        moved = self.position_mm(time.monotonic_ns())
        self._next = next((part for part in range(self.line.parts) if self.line.eye_mm(part) > moved), self.line.parts)
        self._next_ns = self._eye_ns()

    def _eye_ns(self) -> int:
        if self._next >= self.line.parts:
            return _NEVER
        return self.line.belt.time_at(self.line.eye_mm(self._next))


def run_world(make: Any, arguments: Sequence[str] | None = None, *options: str) -> int:
    """Run a line until SIGTERM. `make(line, ledger, given)` builds it. `options` are further arguments with a value."""
    parser = argparse.ArgumentParser()
    parser.add_argument("line", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--boot", type=int, default=1)
    for option in options:
        parser.add_argument(option, default="")
    given = parser.parse_args(arguments)
    stop, no_more_parts = told_by_signals()
    with given.ledger.open("a", encoding="utf-8") as ledger:
        make(Line.read(given.line), ledger, given).run(stop, no_more_parts)
    return 0
