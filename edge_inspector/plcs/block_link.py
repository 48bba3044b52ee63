"""What every PLC link over the two blocks does: triggers and acknowledgements in, the ring of verdicts out."""

from __future__ import annotations

import secrets
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from edge_inspector.errors import DeviceError, LayoutError
from edge_inspector.plcs.ring import VerdictRing
from edge_inspector.records import Command, ErrorCode, Identity, PlcInput, StationState, StationStatus, Trigger, Verdict
from edge_inspector.s7 import blocks
from edge_inspector.s7.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, PLC_HEADER, TRIGGER, VERDICT, wrap32

_TAKEN_MAX = 4 * blocks.VERDICT_SLOTS  # far more than can be offered again, since an error ends an offer
_STUCK_NS = 1_000_000_000  # a PLC that runs takes a slot within a few scans
_TORN_READS = 5  # a read may meet the PLC while it writes; this many in a row is another layout

_STATUS = {
    StationState.STARTING: 0,
    StationState.READY: blocks.STATUS_READY,
    StationState.DEGRADED: blocks.STATUS_READY | blocks.STATUS_DEGRADED,
    StationState.OFF: blocks.STATUS_OFF,
    StationState.FAULT: blocks.STATUS_FAULT,
    StationState.STOPPING: 0,
}


class Wire(Protocol):
    """A connection to the PLC's memory, closed by any error. One thread owns it."""

    address: str

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the last call succeeded."""

    @abstractmethod
    def open(self) -> None:
        """Connect. Raises DeviceError."""

    @abstractmethod
    def read(self, block: int, start: int, size: int) -> bytes:
        """`size` bytes of a block, in ascending order where it takes more than one request. Raises DeviceError."""

    @abstractmethod
    def write(self, block: int, start: int, content: bytes) -> None:
        """One record, in one request; applied later, perhaps, when it timed out. Raises DeviceError."""

    @abstractmethod
    def close(self) -> None:
        """Let go, without a word."""


class Place(NamedTuple):
    """Where a block is: its number on the wire, and what a person calls it."""

    block: int
    label: str


class BlockLink:
    """One connection, owned by one thread. A verdict taken is held and written again until it is acknowledged."""

    def __init__(self, wire: Wire, plc: Place, edge: Place, identity: Identity) -> None:
        self.connected = False
        self.events: Mapping[str, int] = {}
        self.troubles: Mapping[ErrorCode, str] = {}
        self._wire = wire
        self._plc = plc
        self._edge = edge
        self._identity = identity
        self._ring = VerdictRing()
        self._plc_boot_id = 0
        self._trigger_seq = 0
        self._progress = (0, 0)
        self._heartbeat = 0
        self._taken: deque[int] = deque(maxlen=_TAKEN_MAX)
        self._torn = 0
        self._rewrite = False

    def open(self) -> None:
        """Connect and stay silent until the first exchange. Raises DeviceError."""
        self._wire.open()
        self._rewrite = True

    def probe(self) -> str:
        """Read both blocks, write neither. Raises DeviceError."""
        self._wire.open()
        try:
            header = PLC_HEADER.unpack(self._wire.read(self._plc.block, 0, PLC_HEADER.size))
            if header is None or header["layout_version"] != blocks.LAYOUT_VERSION:
                raise LayoutError(f"{self._wire.address}: {self._plc.label} holds no header of layout 1")
            for place, block in ((self._plc, DB_PLC), (self._edge, DB_EDGE)):
                self._wire.read(place.block, block.size - VERDICT.size, VERDICT.size)
            return f"{self._wire.address}, both blocks there, trigger {header['trigger_seq']}"
        finally:
            self._wire.close()

    def look(self) -> PlcInput | None:
        """Read DB_Plc, write nothing. None where the reading met the PLC in the middle of a write.

        Raises DeviceError.
        """
        self._wire.open()
        try:
            return self._read()
        finally:
            self._wire.close()

    def exchange(self, status: StationStatus) -> PlcInput | None:
        """Read DB_Plc, follow restarts and acknowledgements, write the header with its heartbeat.

        None when the read met the PLC in the middle of a write. Raises DeviceError, LayoutError among them.
        """
        try:
            heard = self._read()
            if heard is not None:
                self._follow(heard)
            self.connected = self.connected or heard is not None
            if self.connected:  # what has never shown a valid header may be somebody else's memory
                self._write_header(status)
            return heard
        except DeviceError:
            self.connected = False
            raise

    def commands(self) -> Sequence[Command]:
        """None: a PLC chooses by `recipe_id` and `control` of its header."""
        return ()

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """How many of `verdicts` are in the ring (or void: their PLC run is over). Raises DeviceError."""
        if not self.connected:
            return 0
        count = 0
        for verdict in verdicts:
            fresh = verdict.seq not in self._taken
            if fresh and verdict.part.plc_boot_id == self._plc_boot_id:
                if not self._ring.room:
                    break
                self._write_verdict(verdict)
            count += 1
        return count

    def close(self) -> None:
        """Tell the PLC "not ready" where it can still be told, and let go."""
        if self.connected and self._wire.is_open:
            with suppress(DeviceError):
                self._write_header(StationStatus(StationState.STOPPING, ErrorCode.NONE, 0))
        self.connected = False
        self._wire.close()

    @property
    def backlog(self) -> int:
        """Verdicts written but not yet consumed by the PLC."""
        return len(self._ring.unacknowledged())

    def _read(self) -> PlcInput | None:
        asked_ns = time.monotonic_ns()
        raw = self._wire.read(self._plc.block, 0, DB_PLC.size)
        version = int.from_bytes(raw[:2], "big")
        header = PLC_HEADER.unpack(raw[: PLC_HEADER.size])
        where = f"{self._wire.address}: {self._plc.label}"
        if header is None:
            self._torn += 1
            if self._torn >= _TORN_READS:
                raise LayoutError(
                    f"{where} holds no valid header: wrong block, another layout, or PLC program not running"
                )
            return None
        self._torn = 0
        if version != blocks.LAYOUT_VERSION:
            raise LayoutError(f"{where} has layout {version}, this daemon speaks {blocks.LAYOUT_VERSION}")
        if header["boot_id"] == 0:
            raise LayoutError(f"{where} has boot_id 0: the PLC program has not initialised it")
        triggers = [
            TRIGGER.unpack(raw[at : at + TRIGGER.size])
            for at in range(DB_PLC.offset(TRIGGER), DB_PLC.size, TRIGGER.size)
        ]
        newest = header["trigger_seq"]
        return PlcInput(
            boot_id=header["boot_id"],
            heartbeat=header["heartbeat"],
            enable=bool(header["control"] & blocks.CONTROL_ENABLE),
            reset=bool(header["control"] & blocks.CONTROL_RESET),
            line_running=bool(header["control"] & blocks.CONTROL_LINE_RUNNING),
            recipe_id=header["recipe_id"],
            ack_session=header["ack_session"],
            ack_seq=header["ack_seq"],
            trigger_seq=newest,
            missing_verdicts=header["missing_verdicts"],
            triggers=tuple(
                Trigger(found["part_seq"], found["count"], bool(found["flags"] & blocks.TRIGGER_ANSWERED))
                for found in sorted(filter(None, triggers), key=lambda found: int(found["part_seq"]))
                if newest - blocks.TRIGGER_SLOTS < found["part_seq"] <= newest
            ),
            asked_ns=asked_ns,
        )

    def _follow(self, heard: PlcInput) -> None:
        if heard.boot_id != self._plc_boot_id:
            self._plc_boot_id = heard.boot_id
            self._trigger_seq = 0
            self._ring.begin(_new_id())
        if heard.trigger_seq < self._trigger_seq:
            raise LayoutError(
                f"{self._wire.address}: trigger_seq fell from {self._trigger_seq} to {heard.trigger_seq} in one run of "
                "the PLC; a program that begins anew must publish a new boot_id"
            )
        self._trigger_seq = heard.trigger_seq
        if heard.ack_session == self._ring.session_id and heard.ack_seq < self._ring.acknowledged:
            self._number_anew()
        if not self._ring.acknowledge(heard.ack_session, heard.ack_seq):
            raise LayoutError(
                f"{self._wire.address}: PLC acknowledges slot {heard.ack_seq}, only {self._ring.last_seq} written"
            )
        now = time.monotonic_ns()
        if heard.ack_seq != self._progress[0] or not self._ring.unacknowledged():
            self._progress = (heard.ack_seq, now)
        elif now - self._progress[1] > _STUCK_NS:
            # What the PLC waits for may have been overwritten; to write it again does no harm.
            self._progress = (heard.ack_seq, now)
            self._rewrite = True
        if self._rewrite:
            for slot, record in self._ring.unacknowledged():
                self._write_slot(slot, record)
            self._rewrite = False

    def _number_anew(self) -> None:
        """The PLC counts from 1 again (somebody else's header came between): its next slot may be long overwritten."""
        held = [VERDICT.unpack(record) for _, record in self._ring.unacknowledged()]
        self._ring.begin(_new_id())
        for values in filter(None, held):
            seq = self._ring.next_seq()
            self._ring.hold(seq, VERDICT.pack(**values | {"seq": seq, "session_id": self._ring.session_id}))
        self._rewrite = True

    def _write_verdict(self, verdict: Verdict) -> None:
        seq = self._ring.next_seq()
        record = self._record(verdict, seq)
        self._ring.hold(seq, record)
        self._taken.append(verdict.seq)
        self._write_slot(seq % blocks.VERDICT_SLOTS, record)

    def _write_slot(self, slot: int, record: bytes) -> None:
        try:
            self._wire.write(self._edge.block, DB_EDGE.offset(VERDICT, slot), record)
        except DeviceError:
            self.connected = False
            raise

    def _write_header(self, status: StationStatus) -> None:
        self._heartbeat = (self._heartbeat + 1) & 0xFFFFFFFF
        self._wire.write(self._edge.block, 0, self._header(self._heartbeat, status))

    def _header(self, heartbeat: int, status: StationStatus) -> bytes:
        return EDGE_HEADER.pack(
            layout_version=blocks.LAYOUT_VERSION,
            status=_STATUS[status.state]
            | (blocks.STATUS_BUSY if status.busy else 0)
            | (blocks.STATUS_ALARM if status.alarm else 0),
            boot_id=self._identity.boot_id,
            heartbeat=heartbeat,
            session_id=self._ring.session_id,
            plc_boot_id=self._plc_boot_id,
            last_seq=self._ring.last_seq,
            parts=status.parts & 0xFFFFFFFF,
            rejected=status.rejected & 0xFFFFFFFF,
            not_inspected=status.not_inspected & 0xFFFFFFFF,
            error_code=int(status.error_code),
            recipe_id=status.recipe_id,
        )

    def _record(self, verdict: Verdict, seq: int) -> bytes:
        worst = max(verdict.defects, key=lambda defect: defect.confidence, default=None)
        last_view = max(verdict.views, key=lambda placed: placed.view.captured_ns, default=None)
        return VERDICT.pack(
            seq=seq,
            session_id=self._ring.session_id,
            part_seq=verdict.part.part_seq,
            capture_count=wrap32(round(last_view.position.count)) if last_view else 0,
            due_count=wrap32(verdict.part.due_count),
            decision=int(verdict.decision),
            reason=int(verdict.reason),
            grade=ord(verdict.grade) if verdict.grade else 0,
            defect_class=1 + self._identity.defect_classes.index(worst.defect_class) if worst else 0,
            flags=blocks.VERDICT_REJECTS if verdict.rejects else 0,
            recipe_id=verdict.recipe_id,
            area_mm2=sum(defect.area_mm2 for defect in verdict.defects),
            max_confidence=worst.confidence if worst else 0.0,
            latency_us=min(max(0, verdict.latency_ns // 1000), 2**32 - 1),
            error_mm=verdict.error_mm,
        )


def _new_id() -> int:
    return secrets.randbelow(2**32 - 1) + 1
