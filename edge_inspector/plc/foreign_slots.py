"""Finds the parts whose slots in the ring were written by somebody else and not by this station."""

from __future__ import annotations

from edge_inspector.codes import Decision
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import DB_EDGE, VERDICT
from edge_inspector.plc.wire import Place, Wire

_NAMED = 8  # each costs a request while the line runs


def foreign_slots(wire: Wire, edge: Place, session_id: int, taken: range) -> str:
    """The slots with the numbers `taken` that the ring still shows, as text. Raises DeviceError."""
    told = []
    for seq in taken[:_NAMED]:
        at = DB_EDGE.offset(VERDICT, seq % blocks.VERDICT_SLOTS)
        slot = VERDICT.unpack(wire.read(edge.block, at, VERDICT.size))
        if slot is not None and (slot["seq"], slot["session_id"]) == (seq, session_id):
            told.append(f"part {slot['part_seq']} {_name(slot['decision'])}")
    which = f"slot {taken[0]}" if len(taken) == 1 else f"slots {taken[0]} to {taken[-1]}"
    return (
        f"the PLC consumed {which} of {edge.label}, which this station never wrote: "
        f"{', '.join(told) or 'they are gone'}. Find out who writes there (docs/plc.md)"
    )


def replaced(wire: Wire, edge: Place, slot: int, record: bytes) -> str:
    """The content that replaced `record` in its slot, as text. Empty if nobody overwrote it. Raises DeviceError."""
    raw = wire.read(edge.block, DB_EDGE.offset(VERDICT, slot), VERDICT.size)
    found, ours = VERDICT.unpack(raw), VERDICT.unpack(record)
    if raw == record or found is None or ours is None:
        return ""
    if (found["seq"], found["session_id"]) != (ours["seq"], ours["session_id"]):
        return ""  # the PLC does not take it
    return (
        f"slot {ours['seq']} of {edge.label} was overwritten: part {ours['part_seq']} {_name(ours['decision'])} "
        f"became part {found['part_seq']} {_name(found['decision'])}. Find out who writes there (docs/plc.md)"
    )


def _name(decision: int) -> str:
    return Decision(decision).name if decision in set(Decision) else f"decision {decision}"
