"""The PLC test of `check`: all requests that the daemon will do to its blocks, without any change."""

from __future__ import annotations

import time

from edge_inspector.errors import LayoutError
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, PLC_HEADER, VERDICT
from edge_inspector.plc.plausibility import Numbers, Plausibility
from edge_inspector.plc.reading import Reader
from edge_inspector.plc.wire import Place, Wire

_WATCH_S = 0.35  # longer than a heartbeat of the PLC or of another daemon
_LOOK_S = 0.03


def probe(wire: Wire, plc: Place, edge: Place, reader: Reader) -> str:
    """Read both blocks as the daemon does, and write the present bytes of DB_Edge's header once more.

    The write is skipped while a daemon is at work there, because it would set back its heartbeat. Raises DeviceError.
    """
    raw = wire.read(plc.block, 0, DB_PLC.size)
    header = PLC_HEADER.unpack(raw[: PLC_HEADER.size])
    if header is None or header["layout_version"] != blocks.LAYOUT_VERSION:
        raise LayoutError(f"{wire.address}: {plc.label} holds no header of layout 1: {reader.likely(raw)}")
    wire.read(edge.block, DB_EDGE.size - VERDICT.size, VERDICT.size)
    found = f"{wire.address}, both blocks there, trigger {header['trigger_seq']}"
    stood = wire.read(edge.block, 0, EDGE_HEADER.size)
    runs, alive = _watch(wire, plc=plc, edge=edge, reader=reader, stood=stood)
    if alive is None:
        wire.write(edge.block, 0, stood)
    else:
        found += f". {alive} writes to {edge.label}, so writing was not tried"
    return found if runs else f"{found}. Its heartbeat stands still: is the PLC in STOP, or is its program not called?"


def _watch(wire: Wire, *, plc: Place, edge: Place, reader: Reader, stood: bytes) -> tuple[bool, str | None]:
    """Whether the PLC's heartbeat moves, and who moves the header in DB_Edge."""
    numbers, beats, alive = Numbers(parts_per_s=0.0), set(), None  # only the order of words matters here
    until = time.monotonic() + _WATCH_S
    while time.monotonic() < until:
        heard = reader.read(wire.read(plc.block, 0, DB_PLC.size), time.monotonic_ns())
        if heard is not None:
            beats.add(heard.heartbeat)
            if numbers.judge(heard) is Plausibility.SWAPPED:
                raise reader.words_swapped(numbers.why)
        now = wire.read(edge.block, 0, EDGE_HEADER.size)
        if now != stood:
            header = EDGE_HEADER.unpack(now)
            alive = "Somebody" if header is None else f"A daemon (boot_id {header['boot_id']:08x})"
        time.sleep(_LOOK_S)
    return len(beats) > 1, alive
