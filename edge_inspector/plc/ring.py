"""The daemon's side of the verdict ring. It numbers slots and never overwrites one that is not yet read."""

from __future__ import annotations

from edge_inspector.plc.blocks import VERDICT_SLOTS

# One slot stays free, so that a PLC that is copying the oldest slot never sees it change.
CAPACITY = VERDICT_SLOTS - 1


class VerdictRing:
    """Slots written but not acknowledged, in one session. A new session id makes slots of earlier sessions void."""

    def __init__(self) -> None:
        self.session_id = 0
        self.last_seq = 0
        self.acknowledged = 0
        self._unacknowledged: dict[int, bytes] = {}

    @property
    def room(self) -> int:
        """How many more verdicts may be written now."""
        return CAPACITY - len(self._unacknowledged)

    def begin(self, session_id: int) -> None:
        """Start again at seq 1, because the daemon or the PLC is new."""
        self.session_id = session_id
        self.last_seq = self.acknowledged = 0
        self._unacknowledged.clear()

    def next_seq(self) -> int:
        """The number for the next verdict. Raises BufferError if there is no room."""
        if not self.room:
            raise BufferError("verdict ring is full")
        return self.last_seq + 1

    def hold(self, seq: int, record: bytes) -> None:
        """Keep a numbered record until it is acknowledged. It may be written any number of times."""
        self.last_seq = seq
        self._unacknowledged[seq] = record

    def acknowledge(self, session_id: int, seq: int) -> bool:
        """The PLC has consumed everything up to `seq`. False for an impossible acknowledgement, which is ignored."""
        if session_id != self.session_id:
            return True  # the PLC has not taken up this session yet
        if seq > self.last_seq:
            return False
        self.acknowledged = max(self.acknowledged, seq)
        for held in [held for held in self._unacknowledged if held <= seq]:
            del self._unacknowledged[held]
        return True

    def unacknowledged(self) -> list[tuple[int, bytes]]:
        """(slot, record) of all slots to be written again after a reconnect, oldest first."""
        return [(seq % VERDICT_SLOTS, record) for seq, record in sorted(self._unacknowledged.items())]
