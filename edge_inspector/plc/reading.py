"""Decodes the bytes of DB_Plc. Nothing is used from a block whose layout is not as expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge_inspector.errors import LayoutError
from edge_inspector.plc import blocks
from edge_inspector.plc.blocks import DB_PLC, PLC_HEADER, TRIGGER
from edge_inspector.plc.wire import Advice
from edge_inspector.records import Called, PlcInput, Trigger

_TORN_READS = 5  # a read may meet the PLC while it writes. This many in a row mean another layout

_FIRST_SLOT = DB_PLC.offset(TRIGGER)


class Reader:
    """Reads one block again and again. `where` names it."""

    def __init__(self, where: str, advice: Advice) -> None:
        self._where = where
        self._advice = advice
        self._torn = 0
        self._slots_raw = b""
        self._slots: dict[int, dict[str, Any]] = {}
        self._newest = -1
        self._triggers: tuple[Trigger, ...] = ()

    def read(self, raw: bytes, asked_ns: int) -> PlcInput | None:
        """The decoded `raw`, or None if the PLC was writing it at that moment. Raises LayoutError."""
        header = PLC_HEADER.unpack(raw[: PLC_HEADER.size])
        if header is None:
            self._torn += 1
            if self._torn < _TORN_READS:
                return None
            raise LayoutError(f"{self._where} holds no valid header: {self.likely(raw)}")
        self._torn = 0
        version = header["layout_version"]
        if version != blocks.LAYOUT_VERSION:
            raise LayoutError(f"{self._where} has layout {version}, this daemon needs {blocks.LAYOUT_VERSION}")
        if header["boot_id"] == 0:
            raise LayoutError(f"{self._where} has boot_id 0: the PLC program has not initialised it")
        if raw[_FIRST_SLOT:] != self._slots_raw:  # nearly always they are those of the last reading
            slots = _triggers(raw)
            if _look_swapped(slots):
                raise self.words_swapped("the triggers are in the wrong slots")
            self._slots_raw, self._slots, self._newest = bytes(raw[_FIRST_SLOT:]), slots, -1
        if header["trigger_seq"] != self._newest:
            self._newest = header["trigger_seq"]
            self._triggers = _ring(self._slots.values(), self._newest)
        return _said(header, self._triggers, asked_ns)

    def likely(self, raw: bytes) -> str:
        """The likely reason why these bytes of the block hold no header."""
        header = raw[: PLC_HEADER.size]
        if not any(header):
            return f"wrong block, or PLC program not running (all bytes are 0): {self._advice.place}"
        turned = b"".join(header[at : at + 2][::-1] for at in range(0, len(header), 2))
        if PLC_HEADER.unpack(turned) is not None:
            return f"the two bytes of each word are swapped: {self._advice.octets}"
        return f"wrong block, another layout, or PLC program not running: {self._advice.place}"

    def words_swapped(self, seen: str) -> LayoutError:
        """The error for a PLC that stores the words of 32-bit values in the other order. `seen` is the evidence."""
        return LayoutError(f"{self._where}: the words of 32-bit values are swapped ({seen}): {self._advice.words}")


def called(*, good: bool, bad: bool) -> Called:
    """What two bits say of a part. Both at once say nothing."""
    if good == bad:
        return ""
    return "good" if good else "defect"


def _triggers(raw: bytes) -> dict[int, dict[str, Any]]:
    """The decoded slots by slot number, without those that are damaged or were never written."""
    found = {
        slot: TRIGGER.unpack(raw[_FIRST_SLOT + slot * TRIGGER.size : _FIRST_SLOT + (slot + 1) * TRIGGER.size])
        for slot in range(blocks.TRIGGER_SLOTS)
    }
    return {slot: trigger for slot, trigger in found.items() if trigger is not None}


def _look_swapped(slots: dict[int, dict[str, Any]]) -> bool:
    """Whether every trigger lies in the slot for its word-swapped number, and not every one in its own."""
    numbers = {slot: int(trigger["part_seq"]) for slot, trigger in slots.items()}
    swapped = {slot: number >> 16 for slot, number in numbers.items()}  # its low word: the high one is no matter here
    return not _in_place(numbers) and _in_place(swapped)


def _in_place(numbers: dict[int, int]) -> bool:
    return all(number % blocks.TRIGGER_SLOTS == slot for slot, number in numbers.items())


def _ring(slots: Iterable[dict[str, Any]], newest: int) -> tuple[Trigger, ...]:
    """The triggers up to the newest one, oldest first. A slot may show one that the header does not know yet."""
    return tuple(
        Trigger(
            found["part_seq"],
            found["count"],
            bool(found["flags"] & blocks.TRIGGER_ANSWERED),
            called=called(
                good=bool(found["flags"] & blocks.TRIGGER_GOOD), bad=bool(found["flags"] & blocks.TRIGGER_BAD)
            ),
        )
        for found in sorted(slots, key=lambda found: int(found["part_seq"]))
        if newest - blocks.TRIGGER_SLOTS < found["part_seq"] <= newest
    )


def _said(header: dict[str, Any], triggers: tuple[Trigger, ...], asked_ns: int) -> PlcInput:
    return PlcInput(
        boot_id=header["boot_id"],
        heartbeat=header["heartbeat"],
        enable=bool(header["control"] & blocks.CONTROL_ENABLE),
        reset=bool(header["control"] & blocks.CONTROL_RESET),
        line_running=bool(header["control"] & blocks.CONTROL_LINE_RUNNING),
        challenge=bool(header["control"] & blocks.CONTROL_CHALLENGE),
        recipe_id=header["recipe_id"],
        ack_session=header["ack_session"],
        ack_seq=header["ack_seq"],
        trigger_seq=header["trigger_seq"],
        missing_verdicts=header["missing_verdicts"],
        triggers=triggers,
        asked_ns=asked_ns,
    )
