"""The bytes that the daemon writes into DB_Edge."""

from __future__ import annotations

from edge_inspector.codes import StationState
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import EDGE_HEADER, VERDICT, wrap32
from edge_inspector.plc.seal import sealed
from edge_inspector.records import Identity, StationStatus, Verdict

_STATUS = {
    StationState.STARTING: 0,
    StationState.READY: blocks.STATUS_READY,
    StationState.DEGRADED: blocks.STATUS_READY | blocks.STATUS_DEGRADED,
    StationState.OFF: blocks.STATUS_OFF,
    StationState.FAULT: blocks.STATUS_FAULT,
    StationState.STOPPING: 0,
}


class EdgeRecords:
    """Header and verdicts of one daemon. They carry an authentication tag if there is a key."""

    def __init__(self, identity: Identity, key: bytes | None) -> None:
        self._identity = identity
        self._key = key

    def header(
        self, status: StationStatus, *, heartbeat: int, session_id: int, plc_boot_id: int, last_seq: int
    ) -> bytes:
        """The header: the session, the PLC's run that it answers, and the state of the station."""
        raw = EDGE_HEADER.pack(
            layout_version=blocks.LAYOUT_VERSION,
            status=_STATUS[status.state]
            | (blocks.STATUS_BUSY if status.busy else 0)
            | (blocks.STATUS_ALARM if status.alarm else 0),
            boot_id=self._identity.boot_id,
            heartbeat=heartbeat,
            session_id=session_id,
            plc_boot_id=plc_boot_id,
            last_seq=last_seq,
            parts=status.parts & 0xFFFFFFFF,
            rejected=status.rejected & 0xFFFFFFFF,
            not_inspected=status.not_inspected & 0xFFFFFFFF,
            error_code=int(status.error_code),
            recipe_id=status.recipe_id,
        )
        return sealed(EDGE_HEADER, raw, self._key)

    def verdict(self, verdict: Verdict, seq: int, session_id: int) -> bytes:
        """One slot of the ring."""
        worst = max(verdict.defects, key=lambda defect: defect.confidence, default=None)
        last_view = max(verdict.views, key=lambda placed: placed.view.captured_ns, default=None)
        raw = VERDICT.pack(
            seq=seq,
            session_id=session_id,
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
        return sealed(VERDICT, raw, self._key)

    def renumbered(self, record: bytes, seq: int, session_id: int) -> bytes:
        """The same verdict under another number, in another session."""
        values = VERDICT.unpack(record)
        if values is None:
            raise ValueError("not a verdict of this daemon")
        return sealed(VERDICT, VERDICT.pack(**values | {"seq": seq, "session_id": session_id}), self._key)
