"""The simulated PLC with one oddity of real PLCs and their programs. A file beside the ledger names the oddity."""

from __future__ import annotations

import sys
import time
from typing import Any

from edge_inspector.codes import Decision
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, ENCODER, PLC_HEADER, VERDICT, wrap32
from edge_inspector.simulation import plc
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.plc import SimulatedPlc

_BETWEEN_SCANS = 10  # scans. After a part's edge its verdict has come, and the next part is not there yet


class OddPlc(SimulatedPlc):
    """Reads the file `oddity` at each scan. Without it this is the right PLC."""

    def __init__(self, line: Line, **wiring: Any) -> None:
        super().__init__(line, **wiring)
        self._odd_file = self._panel.with_name("oddity")
        self._odd = ""
        self._odd_scans = 0
        self._forged = False

    def _scan(self) -> None:
        odd = self._odd_file.read_text() if self._odd_file.exists() else ""
        self._odd_scans = 0 if odd != self._odd else self._odd_scans + 1
        self._odd = odd
        before = getattr(self, f"_before_{odd}", None)
        if before is not None:
            before()
        super()._scan()
        after = getattr(self, f"_after_{odd}", None)
        if after is not None:
            after()

    def _before_counter_set_back(self) -> None:
        """Somebody sets the part counter to 0 at the change of shift."""
        if self._odd_scans == 0:
            self._program.trigger_seq = 0

    def _after_poisoned_header(self) -> None:
        """One header has an impossible number and a correct CRC."""
        if self._odd_scans == 0:
            self._rewrite_header(trigger_seq=0xFFFFFFFF)

    def _after_layout_two(self) -> None:
        self._rewrite_header(layout_version=2)

    def _after_no_boot_id(self) -> None:
        self._rewrite_header(boot_id=0)

    def _after_stopped(self) -> None:
        """The CPU goes to STOP: memory can be read, but nothing in it changes."""
        time.sleep(30.0)

    def _after_never_acknowledges(self) -> None:
        self._rewrite_header(ack_seq=0)

    def _after_acknowledges_too_much(self) -> None:
        if self._odd_scans == 0:
            self._program.ack_seq += 40

    def _before_forged_verdict(self) -> None:
        """Somebody else writes the next verdict between two of the station's verdicts."""
        header = EDGE_HEADER.unpack(bytes(self._db_edge[: EDGE_HEADER.size]))
        if self._forged or header is None or self._odd_scans < _BETWEEN_SCANS:
            return
        fields: dict[str, Any] = dict.fromkeys((field.name for field in VERDICT.fields), 0)
        fields |= {"seq": self._program.ack_seq + 1, "session_id": header["session_id"]}
        self._write_next_slot(fields | {"part_seq": self._program.trigger_seq, "decision": Decision.ACCEPT})
        self._forged = True

    def _before_verdict_written_over(self) -> None:
        """Somebody else changes a new verdict to ACCEPT before the program takes it."""
        header = EDGE_HEADER.unpack(bytes(self._db_edge[: EDGE_HEADER.size]))
        at = self._next_slot_at
        slot = VERDICT.unpack(bytes(self._db_edge[at : at + VERDICT.size]))
        if self._forged or header is None or slot is None or slot["decision"] == Decision.ACCEPT:
            return
        if (slot["seq"], slot["session_id"]) == (self._program.ack_seq + 1, header["session_id"]):
            self._write_next_slot(slot | {"decision": Decision.ACCEPT})
            self._forged = True

    @property
    def _next_slot_at(self) -> int:
        return DB_EDGE.offset(VERDICT, (self._program.ack_seq + 1) % blocks.VERDICT_SLOTS)

    def _write_next_slot(self, fields: dict[str, Any]) -> None:
        at = self._next_slot_at
        self._db_edge[at : at + VERDICT.size] = VERDICT.pack(**fields)

    def _before_foreign_header(self) -> None:
        """A spare box writes its own header between the station's headers."""
        fields: dict[str, Any] = dict.fromkeys((field.name for field in EDGE_HEADER.fields), 0)
        fields |= {"layout_version": 1, "status": 1, "boot_id": 4711, "heartbeat": self._odd_scans + 1}
        fields |= {"session_id": 99, "plc_boot_id": self._program.boot_id}
        self._db_edge[: EDGE_HEADER.size] = EDGE_HEADER.pack(**fields)

    def _before_photo_eye_bounces(self) -> None:
        """Each edge is seen twice, 4 mm apart."""
        if self._next_ns <= time.monotonic_ns():
            count = self._line.raw_count(self._line.eye_mm(self._next) - 4.0, self._zero)
            self._program.photo_eye(count)

    def _latched(self) -> int:
        """The latched count. It is far off if the photo-eye latches another counter than the encoder's record has."""
        return wrap32(super()._latched() + (123_456 if self._odd == "latched_elsewhere" else 0))

    def _after_clock_in_milliseconds(self) -> None:
        self._rewrite_encoder(time_us=(time.monotonic_ns() // 1_000_000) & 0xFFFFFFFF)

    def _after_clock_stands(self) -> None:
        self._rewrite_encoder(time_us=1)

    def _after_count_stands(self) -> None:
        self._rewrite_encoder(count=5)

    def _after_other_encoder_boot(self) -> None:
        self._rewrite_encoder(boot_id=77)

    def _after_count_in_other_order(self) -> None:
        record = self._encoder()
        count = (record["count"] & 0xFFFFFFFF).to_bytes(4, "big")
        self._rewrite_encoder(count=int.from_bytes(count[2:] + count[:2], "big", signed=True))

    def _after_disabled(self) -> None:
        self._program.control &= ~blocks.CONTROL_ENABLE

    def _after_other_recipe(self) -> None:
        self._program.recipe_id = 9

    def _encoder(self) -> dict[str, Any]:
        at = DB_PLC.offset(ENCODER)
        record = ENCODER.unpack(bytes(self._db_plc[at : at + ENCODER.size]))
        return record or dict.fromkeys((field.name for field in ENCODER.fields), 0)

    def _rewrite_encoder(self, **changed: int) -> None:
        at = DB_PLC.offset(ENCODER)
        self._db_plc[at : at + ENCODER.size] = ENCODER.pack(**self._encoder() | changed)

    def _rewrite_header(self, **changed: int) -> None:
        header = PLC_HEADER.unpack(bytes(self._db_plc[: PLC_HEADER.size]))
        if header is not None:
            self._db_plc[: PLC_HEADER.size] = PLC_HEADER.pack(**header | changed)


if __name__ == "__main__":
    sys.exit(plc.main(kind=OddPlc))
