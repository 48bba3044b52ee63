"""The link to a PLC as it is: it reads a counter or a bit, and writes one result after the other."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from edge_inspector.codes import ErrorCode, Reason, StationState
from edge_inspector.errors import CautionError, DeviceError
from edge_inspector.plc.reading import called
from edge_inspector.plc.simple.cells import CellReader, CellWriter, Number, PlcCell, PlcMemory
from edge_inspector.plc.simple.numbering import PartNumbers
from edge_inspector.plc.simple.settings import SimpleSettings
from edge_inspector.records import Command, Identity, PlcInput, StationStatus, Verdict

_QUEUE = 16  # results that wait until the PLC has had time for the one before
_UNTAKEN_NS = 1_000_000_000  # a PLC that runs takes a result within a few scans
_WATCH_S = 0.35
_BEATING = (StationState.READY, StationState.DEGRADED)
_NOWHERE = (Reason.POSITION_UNKNOWN, Reason.TRIGGER_LOST)


class SimpleLink:
    """One connection, owned by one thread.

    `events` counts what happened on the link: `numbers_anew` if the part counter jumped, `result_late` if a result was
    written after its part may have been at the gate.
    """

    def __init__(self, memory: PlcMemory, settings: SimpleSettings, identity: Identity) -> None:
        self.connected = False
        self.events: Counter[str] = Counter()
        self.troubles: dict[ErrorCode, str] = {}
        self._memory = memory
        self._settings = settings
        self._inputs, self._outputs = settings.inputs(), settings.outputs()
        self._reader = CellReader(self._inputs, "trigger")
        results = {name: cell for name, cell in self._outputs.items() if name not in ("heartbeat", "status")}
        self._results = CellWriter(results, "part" if "part" in results else "decision")
        self._beats = {name: cell for name, cell in self._outputs.items() if name in ("heartbeat", "status")}
        self._numbers = PartNumbers(self._inputs["trigger"].values, identity.parts_per_s, settings.scan_ns)
        self._run = 0
        self._heartbeat = self._readings = 0
        self._waiting: deque[Verdict] = deque()
        self._written_ns = 0
        self._untaken: int | None = None
        self._written: Mapping[str, Number] = {}
        self._incidents: list[tuple[ErrorCode, str]] = []

    def open(self) -> None:
        """Connect. Raises DeviceError."""
        self._memory.open()

    def probe(self) -> str:
        """Read all values twice. Nothing is written, because the PLC might act on it. Raises DeviceError."""
        self._memory.open()
        try:
            first = self._reader.read(self._memory)
            time.sleep(_WATCH_S)
            second = self._reader.read(self._memory)
        finally:
            self._memory.close()
        shown = ", ".join(f"{name} {second.values[name]:g}" for name in self._inputs)
        told = f"{self._memory.address}: {shown}"
        if "alive" in self._inputs and first.values["alive"] == second.values["alive"]:
            raise DeviceError(f"{told}: alive stands still: is the PLC in STOP, or the address wrong?")
        if "alive" not in self._inputs:
            raise CautionError(
                f"{told}; nothing tells whether its program runs: set alive to a value that counts there"
            )
        return told

    def look(self) -> PlcInput | None:
        """The values now. Raises DeviceError."""
        self._memory.open()
        try:
            return self._read()
        finally:
            self._memory.close()

    def exchange(self, status: StationStatus) -> PlcInput | None:
        """Read the PLC, write the results that wait, and the heartbeat. Raises DeviceError."""
        try:
            heard = self._read()
            self._write_waiting()
            self._beat(status)
        except DeviceError:
            self.connected = False
            raise
        self.connected = True
        return heard

    def commands(self) -> Sequence[Command]:
        """Always empty: a PLC gives its requests by `enable` and `recipe`."""
        return ()

    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        """Jumps of the part counter since the last call."""
        told, self._incidents = self._incidents, []
        return told

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """How many verdicts are with the PLC, or wait for it to have time. Raises DeviceError."""
        if not self.connected:
            return 0
        count = 0
        for verdict in verdicts:
            if len(self._waiting) >= _QUEUE:
                break
            if verdict.part.run_key == (1, self._run):  # the PLC has forgotten all others
                self._waiting.append(verdict)
            count += 1
        self._write_waiting()
        return count

    def close(self) -> None:
        """Let the heartbeat stand, and disconnect. It says "not ready" where there is a status."""
        if self.connected and self._memory.is_open and "status" in self._beats:
            with suppress(DeviceError):
                self._memory.write(self._beats["status"], self._beats["status"].pack(0))
        self.connected = False
        self._memory.close()

    @property
    def backlog(self) -> int:
        """Results that wait to be written."""
        return len(self._waiting)

    def _read(self) -> PlcInput:
        reading = self._reader.read(self._memory)
        self._readings += 1
        count = reading.number("trigger_count")
        raw_count = None if count is None else self._settings.counts_of(count)
        known = called(good=bool(reading.values.get("good", 0)), bad=bool(reading.values.get("bad", 0)))
        wrong = self._numbers.read(
            int(reading.values["trigger"]), raw_count, reading.asked_ns, reading.answered_ns, known=known
        )
        if wrong:
            self._run += 1
            self._waiting.clear()
            self._untaken = None
            self.troubles.pop(ErrorCode.PLC_RING_FULL, None)
            self.events["numbers_anew"] += 1
            what = f"{wrong}: all parts of before count as past. The counter must never jump or begin anew"
            self._incidents.append((ErrorCode.PLC_NUMBERS, what))
        self._see_taken(reading.number("taken"))
        running = reading.number("running")
        return PlcInput(
            boot_id=1,
            heartbeat=int(reading.values.get("alive", self._readings)),
            enable=bool(reading.values.get("enable", 1)),
            reset=False,
            challenge=bool(reading.values.get("challenge", 0)),
            line_running=None if running is None else bool(running),
            recipe_id=int(reading.values.get("recipe", 0)),
            ack_session=0,
            ack_seq=0,
            trigger_seq=self._numbers.newest,
            triggers=tuple(self._numbers.triggers),
            asked_ns=reading.asked_ns,
            run=self._run,
            known_from=self._numbers.first,
        )

    def _see_taken(self, taken: Number | None) -> None:
        if taken is None or self._untaken is None:
            return
        if int(taken) == self._untaken:
            self._untaken = None
            self.troubles.pop(ErrorCode.PLC_RING_FULL, None)
        elif time.monotonic_ns() - self._written_ns > _UNTAKEN_NS:
            self.troubles[ErrorCode.PLC_RING_FULL] = f"the PLC does not take the result for part {self._untaken}"

    def _write_waiting(self) -> None:
        """Write the next result if the PLC has had time for the one before."""
        now = time.monotonic_ns()
        if self._untaken is not None and now - self._written_ns > _UNTAKEN_NS:
            self._results.write(self._memory, self._written)  # a PLC that was switched off has forgotten it
            self._written_ns = now
        while self._waiting and self._may_write(now):
            verdict = self._waiting[0]
            late = verdict.due_ns < now
            values = self._values(verdict)
            self._results.write(self._memory, values)
            self._waiting.popleft()
            self.events["result_late"] += late
            part = self._outputs.get("part")
            self._written, self._written_ns = values, now
            self._untaken = None if part is None or "taken" not in self._inputs else _told(part, verdict.part.part_seq)
        overdue = self._waiting and self._waiting[0].due_ns < now
        if overdue:
            self.troubles[ErrorCode.VERDICT_LATE] = (
                f"{len(self._waiting)} results wait: lower hold_ms, or let the PLC scan faster"
            )
        else:
            self.troubles.pop(ErrorCode.VERDICT_LATE, None)

    def _may_write(self, now: int) -> bool:
        if "taken" in self._inputs and "part" in self._outputs:
            return self._untaken is None
        return now - self._written_ns >= self._settings.hold_ns

    def _values(self, verdict: Verdict) -> Mapping[str, Number]:
        known = verdict.reason not in _NOWHERE and verdict.part.positioned
        return {
            "part": verdict.part.part_seq,
            "decision": self._settings.code_of(verdict.decision, rejects=verdict.rejects),
            "due": self._settings.due_of(verdict.part.due_count) if known else 0,
            "reason": int(verdict.reason),
            "grade": ord(verdict.grade) - ord("A") + 1 if verdict.grade and not verdict.rejects else 0,
        }

    def _beat(self, status: StationStatus) -> None:
        if status.state in _BEATING:
            self._heartbeat += 1
        values = {"heartbeat": self._heartbeat, "status": int(status.state in _BEATING) + 2 * int(status.alarm)}
        for name, cell in self._beats.items():
            self._memory.write(cell, cell.pack(values[name]))


def _told(part: PlcCell, part_seq: int) -> int:
    """The number as the PLC sees it in this cell."""
    return int(part.unpack(part.pack(part_seq)))
