"""A peer's reports: one verdict for each part, to the PLC over S7 and to the broker, by the plainest code.

The PLC acknowledges each verdict. The block layout is that of docs/plc.md, from this project's own definition.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from snap7 import Client
from snap7.error import S7Error

from edge_inspector.plc.blocks import (
    DB_EDGE,
    DB_PLC,
    EDGE_HEADER,
    LAYOUT_VERSION,
    PLC_HEADER,
    STATUS_READY,
    TRIGGER,
    TRIGGER_SLOTS,
    VERDICT,
    VERDICT_REJECTS,
    VERDICT_SLOTS,
    wrap32,
)

_ACCEPT, _REJECT, _NOT_INSPECTED, _VIEW_MISSING = 1, 2, 3, 12
_NAMES = {_ACCEPT: "ACCEPT", _REJECT: "REJECT", _NOT_INSPECTED: "NOT_INSPECTED"}
_EVERY_S = 0.02
_RESERVE_NS = 150_000_000  # before the gate: a part whose pictures have not come by then is not inspected
_START_S = 30.0
_DB_PLC, _DB_EDGE = 100, 101


@dataclass(frozen=True, slots=True)
class Station:
    """What the harness tells a peer about the line: ports, and files of pictures and times."""

    plc: int
    broker: int
    prepared: Path
    started: Path
    ready: Path
    lanes: int
    parts: int
    gate_counts: int
    way_ns: int  # from the photo-eye to the gate

    @classmethod
    def read(cls, file: Path) -> Station:
        """The station in this file."""
        told = json.loads(file.read_text())
        return cls(**told | {name: Path(told[name]) for name in ("prepared", "started", "ready")})


@dataclass
class _Part:
    count: int
    since_ns: int
    views: list[dict[str, Any]] = field(default_factory=list)
    defects: int = 0


class Reporter:
    """A thread that reads triggers and writes verdicts. Any thread may give it views."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._lock = threading.Lock()
        self._parts: dict[int, _Part] = {}
        self._early: dict[int, list[tuple[dict[str, Any], int]]] = {}
        self._ready: list[tuple[int, _Part]] = []
        self._newest = self._seq = self._acknowledged = self._boot_id = self._heartbeat = 0
        self._session_id = 1 + time.monotonic_ns() % 2**31
        self._stop = threading.Event()
        self._plc = _connected(station.plc)
        self._broker = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._broker.connect("127.0.0.1", station.broker)
        self._broker.loop_start()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def view(self, part: int, view: dict[str, Any], defects: int) -> None:
        """A judged picture of this part, numbered from 0."""
        with self._lock:
            found = self._parts.get(part + 1)
            if found is None:
                if part + 1 > self._newest:
                    self._early.setdefault(part + 1, []).append((view, defects))
                return
            self._add(part + 1, found, view, defects)

    def stop(self) -> None:
        """Say not ready, and disconnect."""
        self._stop.set()
        self._thread.join()
        self._write_header(0)
        self._plc.disconnect()
        self._broker.disconnect()
        self._broker.loop_stop()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._read()
            self._write()
            if not self._station.ready.exists():
                self._station.ready.touch()
            due = max(due + _EVERY_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _read(self) -> None:
        raw = bytes(self._plc.db_read(_DB_PLC, 0, DB_PLC.size))
        header = PLC_HEADER.unpack(raw[: PLC_HEADER.size])
        if header is None:
            return
        self._boot_id = header["boot_id"]
        if header["ack_session"] == self._session_id:
            self._acknowledged = header["ack_seq"]
        now = time.monotonic_ns()
        with self._lock:
            for part_seq in range(
                max(self._newest + 1, header["trigger_seq"] - TRIGGER_SLOTS + 1), header["trigger_seq"] + 1
            ):
                at = DB_PLC.offset(TRIGGER, part_seq % TRIGGER_SLOTS)
                trigger = TRIGGER.unpack(raw[at : at + TRIGGER.size])
                if trigger is not None and trigger["part_seq"] == part_seq:
                    part = self._parts[part_seq] = _Part(trigger["count"], now)
                    for view, defects in self._early.pop(part_seq, []):
                        self._add(part_seq, part, view, defects)
            self._newest = header["trigger_seq"]
            late = [
                part_seq
                for part_seq, part in self._parts.items()
                if now - part.since_ns > self._station.way_ns - _RESERVE_NS
            ]
            self._ready += [(part_seq, self._parts.pop(part_seq)) for part_seq in late]

    def _add(self, part_seq: int, part: _Part, view: dict[str, Any], defects: int) -> None:
        part.views.append(view)
        part.defects += defects
        if len(part.views) == self._station.lanes:
            self._ready.append((part_seq, self._parts.pop(part_seq)))

    def _write(self) -> None:
        with self._lock:
            room = VERDICT_SLOTS - 1 - (self._seq - self._acknowledged)
            now, self._ready = self._ready[:room], self._ready[room:]
        for part_seq, part in now:
            self._seq += 1
            whole = len(part.views) == self._station.lanes
            decision = (_REJECT if part.defects else _ACCEPT) if whole else _NOT_INSPECTED
            slot = VERDICT.pack(
                seq=self._seq,
                session_id=self._session_id,
                part_seq=part_seq,
                capture_count=0,
                due_count=wrap32(part.count + self._station.gate_counts),
                decision=decision,
                reason=0 if decision == _ACCEPT else 1 if decision == _REJECT else _VIEW_MISSING,
                grade=0,
                defect_class=0,
                flags=0 if decision == _ACCEPT else VERDICT_REJECTS,
                recipe_id=1,
                area_mm2=0.0,
                max_confidence=0.0,
                latency_us=0,
                error_mm=0.0,
            )
            self._plc.db_write(_DB_EDGE, DB_EDGE.offset(VERDICT, self._seq % VERDICT_SLOTS), bytearray(slot))
            self._publish(part_seq, part, decision)
        self._write_header(STATUS_READY)

    def _publish(self, part_seq: int, part: _Part, decision: int) -> None:
        body = {
            "boot_id": self._session_id,
            "seq": self._seq,
            "plc_boot_id": self._boot_id,
            "part_seq": part_seq,
            "decision": _NAMES[decision],
            "reason": "view_missing" if decision == _NOT_INSPECTED else "none",
            "decided_ns": time.monotonic_ns(),
            "views": part.views,
        }
        self._broker.publish("edge/peer/verdict", json.dumps(body), qos=1)

    def _write_header(self, status: int) -> None:
        self._heartbeat += 1
        header = EDGE_HEADER.pack(
            layout_version=LAYOUT_VERSION,
            status=status,
            boot_id=self._session_id,
            heartbeat=self._heartbeat,
            session_id=self._session_id,
            plc_boot_id=self._boot_id,
            last_seq=self._seq,
            parts=self._seq,
            rejected=0,
            not_inspected=0,
            error_code=0,
            recipe_id=1,
        )
        self._plc.db_write(_DB_EDGE, 0, bytearray(header))


def _connected(port: int) -> Client:
    """A client, as soon as the PLC answers."""
    until = time.monotonic() + _START_S
    while True:
        client = Client()
        try:
            client.connect("127.0.0.1", 0, 0, port)
        except S7Error:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return client
