"""Ensures that only one daemon writes DB_Edge. The first one continues, any other stays silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_inspector.plc.blocks import EDGE_HEADER

_WATCH_NS = 300_000_000  # longer than a heartbeat: a header that is unchanged for so long belongs to a dead daemon
_GONE_NS = 2_000_000_000  # a daemon that was seen alive may only be paused: it gets more time
_NEAR = 100  # heartbeats. If two daemons began so close together, their boot_id decides


@dataclass(frozen=True, slots=True)
class _Rival:
    """Another daemon's header, as it was last seen."""

    boot_id: int
    heartbeat: int
    seen_ns: int
    lives: bool


class Ownership:
    """Checks in the header of DB_Edge whether this daemon may write there. `where`: the block's name.

    After connecting, nothing is written until the header has stood still, is blank or is this daemon's own. Later, if a
    live header of another boot_id appears, the younger of the two daemons becomes silent.
    """

    def __init__(self, boot_id: int, where: str) -> None:
        self.speaks = False
        self.stranger = ""
        """Who else writes there now, and how this daemon reacts. Empty while nobody does."""
        self._boot_id = boot_id
        self._where = where
        self._seen: bytes | None = None
        self._seen_ns = 0
        self._rival: _Rival | None = None

    def begin(self) -> None:
        """Start again after a new connection: another daemon may have come meanwhile."""
        if self.speaks:
            self.speaks, self.stranger, self._rival = False, "", None
        self._seen = None

    def look(self, raw: bytes, heartbeat: int, now_ns: int) -> None:
        """Judge the present header of the block. `heartbeat`: the last one that this daemon wrote."""
        header = EDGE_HEADER.unpack(raw)
        if self.speaks:
            self._guard(header, raw, heartbeat, now_ns)
        else:
            self._wait(header, raw, now_ns)

    def _wait(self, header: dict[str, Any] | None, raw: bytes, now_ns: int) -> None:
        is_mine = header is not None and header["boot_id"] == self._boot_id
        if not self.stranger and (is_mine or not any(raw)):
            self.speaks = True
        elif raw == self._seen:
            if now_ns - self._seen_ns >= (_GONE_NS if self.stranger else _WATCH_NS):
                self.speaks, self.stranger, self._rival = True, "", None
        else:
            if self._seen is not None:
                self._fall_silent(header)
            self._seen, self._seen_ns = raw, now_ns

    def _guard(self, header: dict[str, Any] | None, raw: bytes, heartbeat: int, now_ns: int) -> None:
        rival = self._rival
        if rival is not None and now_ns - rival.seen_ns >= _GONE_NS:
            rival = self._rival = None
            self.stranger = ""
        if header is None or header["boot_id"] == self._boot_id:
            return
        # One header alone may be a late write of a dead daemon.
        same = rival is not None and rival.boot_id == header["boot_id"]
        lives = same and rival is not None and (rival.lives or rival.heartbeat != header["heartbeat"])
        self._rival = _Rival(header["boot_id"], header["heartbeat"], now_ns, lives)
        if not lives:
            return
        if self._is_older(header, heartbeat):
            self.stranger = (
                f"{_name(header)} writes {self._where} too. This one was there before it and goes on. "
                "Switch one of the two off"
            )
        else:
            self.speaks = False
            self._fall_silent(header)
            self._seen, self._seen_ns = raw, now_ns

    def _is_older(self, header: dict[str, Any], heartbeat: int) -> bool:
        ahead = heartbeat - int(header["heartbeat"])
        return self._boot_id < header["boot_id"] if abs(ahead) <= _NEAR else ahead > 0

    def _fall_silent(self, header: dict[str, Any] | None) -> None:
        if header is None and self.stranger:
            return  # torn: the earlier name is better
        self.stranger = (
            f"{_name(header)} writes {self._where}. This one came later and writes nothing. Switch one of the two off. "
            f"When the other has been silent for {_GONE_NS // 1_000_000_000} s, this one takes over"
        )


def _name(header: dict[str, Any] | None) -> str:
    return "somebody else" if header is None else f"another daemon (boot_id {header['boot_id']:08x})"
