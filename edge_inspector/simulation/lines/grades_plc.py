"""The simulated PLC with a gate for each grade: it keeps the letter of each verdict, and adds its own ways."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import wrap32
from edge_inspector.simulation.plc import SimulatedPlc, Tracked, main


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    """A good part between the first gate and that of its grade."""

    part_seq: int
    grade: str
    due: int


class GradesPlc(SimulatedPlc):
    """The process. A part that is rejected, or has no verdict, leaves at the first gate."""

    def __init__(self, *given: Any, **wiring: Any) -> None:
        self._further: list[_OnItsWay] = []
        super().__init__(*given, **wiring)

    def _fire(self, count: int) -> None:
        before = list(self._program.tracked)
        super()._fire(count)
        for part in before:
            if part not in self._program.tracked:
                self._keep(part)
        for each in [each for each in self._further if wrap32(count - each.due) >= 0]:
            self._further.remove(each)
            self._sort(each)

    def _keep(self, part: Tracked) -> None:
        verdict, ways = part.verdict, dict(self._line.grades)
        if verdict is None or verdict["flags"] & blocks.VERDICT_REJECTS or chr(verdict["grade"]) not in ways:
            return
        way = round(ways[chr(verdict["grade"])] * self._line.counts_per_mm)
        self._further.append(_OnItsWay(part.part_seq, chr(verdict["grade"]), wrap32(verdict["due_count"] + way)))

    def _sort(self, each: _OnItsWay) -> None:
        way_mm = dict(self._line.grades)[each.grade]
        self._log(
            "sorted",
            part_seq=each.part_seq,
            part=self._world_part.get(each.part_seq),
            grade=each.grade,
            hit=self._line.part_at_gate(self._position_of(each.due) - way_mm),
            at_ns=time.monotonic_ns(),
        )


if __name__ == "__main__":
    sys.exit(main(kind=GradesPlc))
