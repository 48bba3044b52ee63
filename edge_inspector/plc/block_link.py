"""The common part of all PLC links over the two blocks: it reads triggers and writes the ring of verdicts."""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.errors import DeviceError
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, EDGE_HEADER, VERDICT
from edge_inspector.plc.edge_records import EdgeRecords
from edge_inspector.plc.foreign_slots import foreign_slots, replaced
from edge_inspector.plc.ownership import Ownership
from edge_inspector.plc.plausibility import Numbers, Plausibility
from edge_inspector.plc.probe import probe
from edge_inspector.plc.reading import Reader
from edge_inspector.plc.ring import CAPACITY, VerdictRing
from edge_inspector.plc.wire import Advice, Place, Wire
from edge_inspector.records import Command, Identity, PlcInput, StationStatus, Verdict

_log = logging.getLogger(__name__)

_TAKEN_MAX = 4 * blocks.VERDICT_SLOTS  # far more than can be offered again, since an error ends an offer
_STUCK_NS = 1_000_000_000  # a PLC that runs takes a slot within a few scans
_LOOK_NS = 90_000_000  # every fifth exchange: does somebody else write DB_Edge?
_FORMER_RUNS = 16
_ADVICE = Advice()


class BlockLink:
    """One connection, owned by one thread. A verdict is kept and written again until the PLC acknowledges it.

    `events` counts what happened on the link:

    - `doubtful_reading`: a reading was ignored.
    - `numbers_anew`: part numbers began again without a new boot_id.
    - `foreign_slot`: somebody else wrote a slot.
    - `fell_silent`, `took_over`: effects of another daemon on the same PLC.
    """

    def __init__(
        self,
        wire: Wire,
        plc: Place,
        edge: Place,
        identity: Identity,
        *,
        key: bytes | None = None,
        advice: Advice = _ADVICE,
    ) -> None:
        self.connected = False
        self.events: Counter[str] = Counter()
        self.troubles: Mapping[ErrorCode, str] = {}
        self._wire = wire
        self._plc = plc
        self._edge = edge
        self._records = EdgeRecords(identity, key)
        self._reader = Reader(f"{wire.address}: {plc.label}", advice)
        self._numbers = Numbers(identity.parts_per_s)
        self._owner = Ownership(identity.boot_id, edge.label)
        self._ring = VerdictRing()
        self._plc_boot_id = 0
        self._run = 0
        self._fresh = False
        self._former_runs: deque[int] = deque(maxlen=_FORMER_RUNS)
        self._progress = (0, 0)
        self._heartbeat = 0
        self._taken: deque[int] = deque(maxlen=_TAKEN_MAX)
        self._incidents: list[tuple[ErrorCode, str]] = []
        self._unverified: dict[int, bytes] = {}
        self._rewrite = False
        self._armed = False
        self._look_ns = 0

    def open(self) -> None:
        """Connect, and write nothing before the first exchange. Raises DeviceError."""
        self._wire.open()
        self._owner.begin()
        self._rewrite = True
        self._armed = False
        self._look_ns = 0

    def probe(self) -> str:
        """Do the same requests as the daemon, but change nothing. Raises DeviceError."""
        self._wire.open()
        try:
            return probe(self._wire, self._plc, self._edge, self._reader)
        finally:
            self._wire.close()

    def look(self) -> PlcInput | None:
        """Read DB_Plc, write nothing. None if the PLC was writing the block at that moment.

        Raises DeviceError.
        """
        self._wire.open()
        try:
            return self._read()
        finally:
            self._wire.close()

    def exchange(self, status: StationStatus) -> PlcInput | None:
        """Read DB_Plc, follow restarts and acknowledgements, write the header with its heartbeat.

        None if the reading is torn or not yet believed, or while another daemon writes DB_Edge. Raises DeviceError, and
        its subclass LayoutError.
        """
        try:
            heard = self._listen()
            # A block that has never shown a valid header may be somebody else's memory.
            if self._armed and self._owner.speaks:
                self._write_header(status)
            return heard
        except DeviceError:
            self.connected = self._armed = False
            raise

    def commands(self) -> Sequence[Command]:
        """Always empty: a PLC gives its commands by `recipe_id` and `control` of its header."""
        return ()

    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        """Problems with part numbers and verdicts since the last call."""
        told, self._incidents = self._incidents, []
        return told

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """How many of `verdicts` are in the ring, or void because their run is over. Raises DeviceError."""
        if not self.connected:
            return 0
        count = 0
        for verdict in verdicts:
            fresh = verdict.seq not in self._taken
            if fresh and verdict.part.run_key == (self._plc_boot_id, self._run):
                if not self._ring.room:
                    break
                self._write_verdict(verdict)
            count += 1
        return count

    def close(self) -> None:
        """Write "not ready" to the PLC if the connection still works, and close."""
        if self._armed and self._owner.speaks and self._wire.is_open:
            with suppress(DeviceError):
                self._write_header(StationStatus(StationState.STOPPING, ErrorCode.NONE, 0))
        self.connected = self._armed = False
        self._wire.close()

    @property
    def backlog(self) -> int:
        """Verdicts written but not yet consumed by the PLC."""
        return len(self._ring.unacknowledged())

    def _listen(self) -> PlcInput | None:
        heard, finding = self._judged()
        if finding is Plausibility.DOUBTFUL and not self._plc_boot_id:
            heard, finding = self._judged()  # the first readings of this PLC: two must agree
        if heard is None:
            return None
        if finding is Plausibility.SWAPPED:
            raise self._reader.words_swapped(self._numbers.why)
        if finding is Plausibility.DOUBTFUL or (finding is Plausibility.USUAL and self._acknowledges_too_much(heard)):
            self.events["doubtful_reading"] += 1
            self.connected = False
            if self._numbers.persists:
                self._trouble(ErrorCode.PLC_NUMBERS, f"{self._numbers.why}: not believed yet")
            return None
        self._trouble(ErrorCode.PLC_NUMBERS, "")
        self._armed = True
        self._begin(finding, heard.boot_id)
        self.connected = self._may_write()
        if not self.connected:
            return None
        self._follow(heard)
        return replace(heard, run=self._run, fresh=self._fresh)

    def _judged(self) -> tuple[PlcInput | None, Plausibility]:
        heard = self._read()
        if heard is None:
            return None, Plausibility.DOUBTFUL
        return heard, self._numbers.judge(heard, time.monotonic_ns())

    def _read(self) -> PlcInput | None:
        asked_ns = time.monotonic_ns()
        return self._reader.read(self._wire.read(self._plc.block, 0, DB_PLC.size), asked_ns)

    def _begin(self, finding: Plausibility, boot_id: int) -> None:
        """Start a new session if the PLC has started a new count. Earlier verdicts are not delivered any more."""
        if finding is Plausibility.NEW_RUN:
            # If a boot_id comes back, its part numbers may start again.
            self._run += boot_id in self._former_runs
            self._former_runs.append(boot_id)
            self._plc_boot_id, self._fresh = boot_id, self._numbers.fresh
            self._begin_session()
        elif finding is Plausibility.NEW_NUMBERS:
            self.events["numbers_anew"] += 1
            self._tell(
                ErrorCode.PLC_NUMBERS,
                f"{self._numbers.why}. Earlier parts count as past. The PLC must publish a new boot_id whenever "
                "trigger_seq starts again",
            )
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._run, self._fresh = self._run + 1, False
        self._begin_session()

    def _begin_session(self) -> None:
        self._unverified.clear()
        self._ring.begin(_new_id())

    def _may_write(self) -> bool:
        """Whether DB_Edge belongs to this daemon. Checked now and then, and at every exchange while it does not."""
        owner, now = self._owner, time.monotonic_ns()
        if owner.speaks and now - self._look_ns < _LOOK_NS:
            return True
        self._look_ns = now
        spoke, was_silent = owner.speaks, not owner.speaks and bool(owner.stranger)
        owner.look(self._wire.read(self._edge.block, 0, EDGE_HEADER.size), self._heartbeat, time.monotonic_ns())
        if was_silent and owner.speaks:
            self.events["took_over"] += 1
            _log.warning(
                "%s: no other daemon writes %s any more. This one takes over", self._wire.address, self._edge.label
            )
            self._begin_anew()
        self.events["fell_silent"] += spoke and not owner.speaks
        self._trouble(ErrorCode.OTHER_WRITER, owner.stranger)
        if owner.speaks:
            self._verify_a_slot()
        return owner.speaks

    def _verify_a_slot(self) -> None:
        """Read one slot back. If somebody else has overwritten it, the PLC would take that for our verdict."""
        if not self._unverified:
            return
        slot = next(iter(self._unverified))
        record = self._unverified.pop(slot)
        what = replaced(self._wire, self._edge, slot, record)
        if what:
            self.events["foreign_slot"] += 1
            self._tell(ErrorCode.OTHER_WRITER, what)
            self._number_anew(record)

    def _acknowledges_too_much(self, heard: PlcInput) -> bool:
        """Whether the acknowledgement is impossible. A possible one, read twice, reveals another writer's slots."""
        if not self._is_ahead(heard):
            return False
        again = self._read()
        if again is None or not self._is_ahead(again):
            return True
        self.events["foreign_slot"] += 1
        written = range(self._ring.last_seq + 1, again.ack_seq + 1)
        self._tell(ErrorCode.OTHER_WRITER, foreign_slots(self._wire, self._edge, self._ring.session_id, written))
        self._number_anew()
        return False

    def _is_ahead(self, heard: PlcInput) -> bool:
        return heard.ack_session == self._ring.session_id and heard.ack_seq > self._ring.last_seq

    def _follow(self, heard: PlcInput) -> None:
        if heard.ack_session == self._ring.session_id and heard.ack_seq < self._ring.acknowledged:
            self._number_anew()
        self._ring.acknowledge(heard.ack_session, heard.ack_seq)
        now = time.monotonic_ns()
        if heard.ack_seq != self._progress[0] or not self._ring.unacknowledged():
            self._progress = (heard.ack_seq, now)
        elif now - self._progress[1] > _STUCK_NS:
            # The slot that the PLC waits for may have been overwritten. To write it again does no harm.
            self._progress = (heard.ack_seq, now)
            self._rewrite = True
        if self._rewrite:
            for slot, record in self._ring.unacknowledged():
                self._write_slot(slot, record)
            self._rewrite = False

    def _number_anew(self, lost: bytes = b"") -> None:
        """Offer all unacknowledged verdicts, and the slot `lost`, in a new session.

        Somebody else's header or slot came between, so the PLC counts differently.
        """
        held = [record for _, record in self._ring.unacknowledged()]
        if lost and lost not in held and len(held) < CAPACITY:
            held.insert(0, lost)
        self._begin_session()
        for record in held:
            seq = self._ring.next_seq()
            self._ring.hold(seq, self._records.renumbered(record, seq, self._ring.session_id))
        self._rewrite = True

    def _write_verdict(self, verdict: Verdict) -> None:
        seq = self._ring.next_seq()
        record = self._records.verdict(verdict, seq, self._ring.session_id)
        self._ring.hold(seq, record)
        self._taken.append(verdict.seq)
        self._write_slot(seq % blocks.VERDICT_SLOTS, record)

    def _write_slot(self, slot: int, record: bytes) -> None:
        try:
            self._wire.write(self._edge.block, DB_EDGE.offset(VERDICT, slot), record)
        except DeviceError:
            self.connected = self._armed = False
            raise
        self._unverified[slot] = record

    def _write_header(self, status: StationStatus) -> None:
        self._heartbeat = (self._heartbeat + 1) & 0xFFFFFFFF
        ring = self._ring
        header = self._records.header(
            status,
            heartbeat=self._heartbeat,
            session_id=ring.session_id,
            plc_boot_id=self._plc_boot_id,
            last_seq=ring.last_seq,
        )
        self._wire.write(self._edge.block, 0, header)

    def _tell(self, code: ErrorCode, what: str) -> None:
        self._incidents.append((code, what))

    def _trouble(self, code: ErrorCode, why: str) -> None:
        others = {held: reason for held, reason in self.troubles.items() if held is not code}
        self.troubles = others | ({code: why} if why else {})


def _new_id() -> int:
    return secrets.randbelow(2**32 - 1) + 1
