"""The simulated PLC: a real S7 server, a cyclic scan, and the logic that a controls engineer would program.

`PlcProgram` is that logic, scan by scan, on the same block definitions as the daemon. deploy/plc follows it. The
process around it simulates the world: photo-eye, encoder, and a gate that fires on compare and records what it hits.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from snap7 import Server
from snap7.type import SrvArea

from edge_inspector.codes import Reason
from edge_inspector.inspection.counter import Counter
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, ENCODER, PLC_HEADER, TRIGGER, VERDICT, wrap32
from edge_inspector.simulation.camera_fire import CameraOutputs
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.signals import told_by_signals

SCAN_NS = 10_000_000
EDGE_DEAD_NS = 400_000_000  # two heartbeats of 200 ms
EVENT_DATA_READ = 0x20000
EVENT_DATA_WRITE = 0x40000
_NEVER = 2**63


@dataclass(slots=True)
class SimulatedTrigger:
    """One slot of the trigger ring."""

    part_seq: int
    count: int
    answered: bool = False
    mark: int = 0


@dataclass(slots=True)
class Tracked:
    """A part between photo-eye and gate, as the PLC knows it."""

    part_seq: int
    count: int
    verdict: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class GateAction:
    """The gate's action when a part came by, and the reason."""

    part_seq: int
    count: int
    fired: bool
    why: str


class PlcProgram:
    """The PLC's side of docs/plc.md. Its attributes would be static variables of the function block."""

    def __init__(self, boot_id: int, gate_counts: int, counter: Counter | None = None) -> None:
        """`gate_counts` is negative for a counter that falls. Without a `counter`, the counter has 32 bits."""
        self.boot_id = boot_id
        self._counter = counter or Counter(falling=gate_counts < 0)
        self.triggers: dict[int, SimulatedTrigger] = {}
        self.tracked: list[Tracked] = []
        self.trigger_seq = 0
        self.session_id = 0
        self.ack_seq = 0
        self.heartbeat = 0
        self.edge_alive = False
        self.edge_ready = False
        self.edge_alarm = False
        self.edge_off = False
        self.edge_recipe_id = 0
        self.missing_verdicts = 0
        self.recipe_id = 0
        self.control = blocks.CONTROL_ENABLE | blocks.CONTROL_LINE_RUNNING
        self.mark = 0  # TRIGGER_GOOD or TRIGGER_BAD of the parts that pass now, as a key switch says
        self._edge_status = 0
        self._gate_counts = gate_counts
        self._edge_heartbeat = (0, -EDGE_DEAD_NS)

    def photo_eye(self, count: int) -> int:
        """A leading edge, latched at `count`. Returns the part's number."""
        self.trigger_seq += 1
        self.triggers[self.trigger_seq % blocks.TRIGGER_SLOTS] = SimulatedTrigger(
            self.trigger_seq, count, mark=self.mark
        )
        self.tracked.append(Tracked(self.trigger_seq, count))
        return self.trigger_seq

    def consume(self, db_edge: bytes, now_ns: int) -> list[tuple[dict[str, Any], str]]:
        """New verdicts from the ring, in order, each with `in time`, `late` or `duplicate`."""
        header = EDGE_HEADER.unpack(db_edge[: EDGE_HEADER.size])
        if header is not None and header["layout_version"] != blocks.LAYOUT_VERSION:
            self.edge_alive = self.edge_ready = self.edge_alarm = self.edge_off = False
            return []
        if header is not None and header["heartbeat"] != self._edge_heartbeat[0]:
            self._edge_heartbeat = (header["heartbeat"], now_ns)
        # A header torn by the daemon's write is ignored. If it stays torn, the heartbeat's age shows it.
        self.edge_alive = now_ns - self._edge_heartbeat[1] < EDGE_DEAD_NS
        if header is not None:
            self._edge_status, self.edge_recipe_id = header["status"], header["recipe_id"]
        counted_on = self._edge_status & (blocks.STATUS_READY | blocks.STATUS_FAULT) == blocks.STATUS_READY
        self.edge_ready = self.edge_alive and counted_on
        self.edge_alarm = self.edge_alive and bool(self._edge_status & blocks.STATUS_ALARM)
        self.edge_off = self.edge_alive and bool(self._edge_status & blocks.STATUS_OFF)
        if header is None:
            return []
        if header["plc_boot_id"] != self.boot_id or header["session_id"] == 0:
            return []
        if header["session_id"] != self.session_id:
            self.session_id, self.ack_seq = header["session_id"], 0
        found = []
        for _ in range(blocks.VERDICT_SLOTS):
            at = DB_EDGE.offset(VERDICT, (self.ack_seq + 1) % blocks.VERDICT_SLOTS)
            slot = VERDICT.unpack(db_edge[at : at + VERDICT.size])
            if slot is None or slot["session_id"] != self.session_id or slot["seq"] != self.ack_seq + 1:
                break
            self.ack_seq += 1
            found.append((slot, self._answer(slot)))
        return found

    def gate(self, count: int) -> list[GateAction]:
        """Handle every part whose due count is reached: fire on REJECT, and if there is no verdict."""
        actions = []
        for part in [part for part in self.tracked if self._is_due(part, count)]:
            self.tracked.remove(part)
            if part.verdict is None:
                self.missing_verdicts = (self.missing_verdicts + 1) & 0xFFFF
                actions.append(GateAction(part.part_seq, self._due(part), fired=True, why="no verdict"))
            else:
                fires = bool(part.verdict["flags"] & blocks.VERDICT_REJECTS)
                actions.append(GateAction(part.part_seq, self._due(part), fires, "verdict"))
        return actions

    def publish(self, db_plc: bytearray) -> None:
        """Write header and triggers. The encoder's record is written separately, close to its time stamp."""
        self.heartbeat = (self.heartbeat + 1) & 0xFFFFFFFF
        for slot, trigger in self.triggers.items():
            at = DB_PLC.offset(TRIGGER, slot)
            flags = trigger.mark | (blocks.TRIGGER_ANSWERED if trigger.answered else 0)
            db_plc[at : at + TRIGGER.size] = TRIGGER.pack(part_seq=trigger.part_seq, count=trigger.count, flags=flags)
        db_plc[: PLC_HEADER.size] = PLC_HEADER.pack(
            layout_version=blocks.LAYOUT_VERSION,
            control=self.control,
            boot_id=self.boot_id,
            heartbeat=self.heartbeat,
            ack_session=self.session_id,
            ack_seq=self.ack_seq,
            trigger_seq=self.trigger_seq,
            recipe_id=self.recipe_id,
            missing_verdicts=self.missing_verdicts,
        )

    def _answer(self, slot: dict[str, Any]) -> str:
        part_seq = slot["part_seq"]
        trigger = self.triggers.get(part_seq % blocks.TRIGGER_SLOTS)
        known = trigger if trigger is not None and trigger.part_seq == part_seq else None
        if known is not None and known.answered:
            return "duplicate"
        if known is not None:
            known.answered = True
        for part in self.tracked:
            if part.part_seq == part_seq:
                if part.verdict is not None:
                    return "duplicate"
                part.verdict = slot
                return "in time"
        return "late"

    def _is_due(self, part: Tracked, count: int) -> bool:
        # Parts are between photo-eye and gate. Around the middle of this distance, even a narrow counter is
        # unambiguous.
        middle = self._counter.read(part.count) + abs(self._gate_counts) // 2
        return self._counter.near(count, middle) >= self._counter.near(self._due(part), middle)

    def _due(self, part: Tracked) -> int:
        """The due count of the verdict, unless the daemon does not know the part's position."""
        if part.verdict is None or part.verdict["reason"] in (Reason.TRIGGER_LOST, Reason.POSITION_UNKNOWN):
            return self._counter.shown(self._counter.read(part.count) + abs(self._gate_counts))
        return int(part.verdict["due_count"])


class SimulatedPlc:
    """The process: server, scan, world, and a ledger of all events (one JSON object per line)."""

    _blocks = 100, 101  # numbers of DB_Plc and DB_Edge

    def __init__(self, line: Line, *, port: int, ledger: TextIO, boot: int, panel: Path) -> None:
        self._line = line
        self._panel, self._panel_ns = panel, 0
        self._ledger = ledger
        self._zero = line.counter_zero(boot)
        gate_counts = round(line.gate_mm * line.counts_per_mm)
        self._program = PlcProgram(secrets.randbelow(2**32 - 1) + 1, gate_counts, line.counter)
        # The PLC's clock starts at any value and runs 40 ppm fast.
        self._clock = (random.Random(line.seed + boot).randrange(10**15), 1 + 40e-6)
        self._started_ns = time.monotonic_ns()
        self._db_plc = bytearray(DB_PLC.size)
        self._db_edge = bytearray(DB_EDGE.size)
        self._written: dict[int, int] = {}
        self._world_part: dict[int, int] = {}
        self._published_seq = self._read_seq = self._told_seq = 0
        moved = line.belt.position_mm(self._started_ns)
        self._next = next((part for part in range(line.parts) if line.eye_mm(part) > moved), line.parts)
        self._next_ns = self._eye_ns()
        self._standing = not self._line.started
        way = -line.counts_per_mm if line.falling else line.counts_per_mm
        self._cameras = CameraOutputs([round(line.offset_mm(lane) * way) for lane in range(len(line.fire_ports))])
        self._fires = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server: Any = self._serve(port)
        self._log("boot", boot_id=self._program.boot_id, zero=self._zero)

    def _serve(self, port: int) -> Any:
        """A server for the two blocks, already running. It can `stop`."""
        server = Server(log=False)
        server.register_area(SrvArea.DB, self._blocks[0], self._db_plc)
        server.register_area(SrvArea.DB, self._blocks[1], self._db_edge)
        server.set_events_callback(self._on_event)
        server.start_to("127.0.0.1", port)
        return server

    def run(self, stop: threading.Event, no_more_parts: threading.Event) -> None:
        """Scan until `stop` is set."""
        due = time.monotonic_ns()
        while not stop.is_set():
            due = max(due + SCAN_NS, time.monotonic_ns() - SCAN_NS)
            time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            if self._standing and self._line.started:
                self._standing, self._next_ns = False, self._eye_ns()
            if no_more_parts.is_set():
                self._next_ns = _NEVER
            self._scan()
        self._fires.close()
        self._server.stop()

    def _scan(self) -> None:
        now = time.monotonic_ns()
        while self._next_ns <= now:
            count = self._latched()
            part_seq = self._program.photo_eye(count)
            self._cameras.photo_eye(count)
            self._world_part[part_seq] = self._next
            mark = {"mark": self._program.mark} if self._program.mark else {}
            self._log("trigger", part_seq=part_seq, part=self._next, count=count, at_ns=self._next_ns, **mark)
            self._next += 1
            self._next_ns = self._eye_ns()
        self._fire_cameras(now)
        self._obey()
        self._consume(now)
        self._fire(self._line.raw_count(self._line.belt.position_mm(now), self._zero))
        self._program.publish(self._db_plc)
        self._published_seq = self._program.trigger_seq
        if self._read_seq != self._told_seq:
            self._told_seq = self._read_seq
            self._log("read", trigger_seq=self._told_seq)
        self._publish_encoder()
        self._ledger.flush()

    def _fire_cameras(self, now: int) -> None:
        count = self._line.raw_count(self._line.belt.position_mm(now), self._zero)
        for output, due in self._cameras.scan(count):
            # A real camera exposes at once. This one may be late to hear of it, so it is told when that was.
            self._fires.sendto(str(now).encode(), ("127.0.0.1", self._line.fire_ports[output]))
            late_mm = abs(wrap32(count - due)) / self._line.counts_per_mm
            self._log("camera", output=output + 1, late_mm=late_mm, at_ns=now)

    def _latched(self) -> int:
        """The counter's value when the next part meets the photo-eye."""
        return self._line.raw_count(self._line.eye_mm(self._next), self._zero)

    def _obey(self) -> None:
        """Apply what the operator set at the PLC's panel, from a file: recipe_id, the bits of control, the mark."""
        if self._panel.exists() and self._panel.stat().st_mtime_ns != self._panel_ns:
            self._panel_ns = self._panel.stat().st_mtime_ns
            told = json.loads(self._panel.read_text())
            self._program.recipe_id, self._program.control = told["recipe_id"], told["control"]
            self._program.mark = told.get("mark", 0)

    def _consume(self, now: int) -> None:
        was_alive, was_ready = self._program.edge_alive, self._program.edge_ready
        recipe_id = self._program.edge_recipe_id
        for slot, how in self._program.consume(bytes(self._db_edge), now):
            self._log(
                "verdict",
                part_seq=slot["part_seq"],
                part=self._world_part.get(slot["part_seq"]),
                decision=slot["decision"],
                reason=slot["reason"],
                rejects=bool(slot["flags"] & blocks.VERDICT_REJECTS),
                how=how,
                written_ns=self._written.get(slot["seq"] % blocks.VERDICT_SLOTS, 0),
                scan_ns=now,
                latency_us=slot["latency_us"],
            )
        if was_alive != self._program.edge_alive:
            self._log("edge", alive=self._program.edge_alive, at_ns=now)
        if was_ready != self._program.edge_ready:
            self._log("ready", ready=self._program.edge_ready, at_ns=now)
        if recipe_id != self._program.edge_recipe_id:
            self._log("recipe", recipe_id=self._program.edge_recipe_id, at_ns=now)

    def _fire(self, count: int) -> None:
        for action in self._program.gate(count):
            # Fired by hardware compare, so it hits what is there at that very count, whenever the scan noticed it.
            position_mm = self._position_of(action.count)
            self._log(
                "gate",
                part_seq=action.part_seq,
                part=self._world_part.get(action.part_seq),
                fired=action.fired,
                why=action.why,
                hit=self._line.part_at_gate(position_mm) if action.fired else None,
                at_ns=time.monotonic_ns(),
            )

    def _position_of(self, count: int) -> float:
        """The belt position nearest to now at which the counter has the value `count`."""
        zero, counter = self._line.counter.read(self._zero), self._line.counter
        moved = round(self._line.belt.position_mm(time.monotonic_ns()) * self._line.counts_per_mm)
        return (counter.near(count, zero + moved) - zero) / self._line.counts_per_mm

    def _publish_encoder(self) -> None:
        offset, rate = self._clock
        now = time.monotonic_ns()
        record = ENCODER.pack(
            boot_id=self._program.boot_id,
            count=self._line.raw_count(self._line.belt.position_mm(now), self._zero),
            time_us=int(offset + (now - self._started_ns) / 1000 * rate) & 0xFFFFFFFF,
        )
        at = DB_PLC.offset(ENCODER)
        self._db_plc[at : at + ENCODER.size] = record

    def _eye_ns(self) -> int:
        if self._next >= self._line.parts:
            return _NEVER
        return self._line.belt.time_at(self._line.eye_mm(self._next))

    def _on_event(self, event: Any) -> None:
        if event.EvtCode == EVENT_DATA_READ and event.EvtParam2 == self._blocks[0]:
            self._was_read(event.EvtParam3)
        if event.EvtCode == EVENT_DATA_WRITE and event.EvtParam2 == self._blocks[1]:
            self._was_written(event.EvtParam3)

    def _was_read(self, start: int) -> None:
        """Somebody read DB_Plc from this byte on."""
        if start == 0:
            self._read_seq = self._published_seq

    def _was_written(self, start: int) -> None:
        """Somebody wrote DB_Edge from this byte on."""
        slot = (start - DB_EDGE.offset(VERDICT)) // VERDICT.size
        if slot >= 0:
            self._written[slot] = time.monotonic_ns()

    def _log(self, kind: str, **fields: Any) -> None:
        self._ledger.write(json.dumps({"kind": kind, "boot": self._program.boot_id, **fields}) + "\n")


def main(arguments: Sequence[str] | None = None, kind: type[SimulatedPlc] = SimulatedPlc) -> int:
    """Run the simulated PLC until SIGTERM."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("line", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--boot", type=int, default=1)
    given = parser.parse_args(arguments)
    stop, no_more_parts = told_by_signals()
    with given.ledger.open("a", encoding="utf-8") as ledger:
        panel = given.ledger.with_name("panel.json")
        plc = kind(Line.read(given.line), port=given.port, ledger=ledger, boot=given.boot, panel=panel)
        plc.run(stop, no_more_parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
