"""The fate of the parts of one run: the simulated world's ledger against the data at PLC and MQTT subscriber."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_inspector.plc.blocks import TRIGGER_SLOTS
from edge_inspector.simulation.plc import EDGE_DEAD_NS, SCAN_NS
from edge_inspector.simulation.readiness import doubted, readiness_of

Event = dict[str, Any]
PartKey = tuple[int, int]


@dataclass(slots=True, kw_only=True)
class Account:
    """The parts of one run. The counts in `violated` must be 0.

    - `forgotten`: announced by a PLC that died before anyone could read it, or no longer in its trigger ring when a
      daemon came back. No daemon can know of them.
    - `lost`: no verdict anywhere. `lost_mqtt`: no verdict over MQTT. `lost_store`: no verdict in the store, which may
      lack those decided just before a kill -9.
    - `second`: a second and different verdict.
    - `wrong_part`: the gate hit another part. `missed`: the gate should have hit and did not.
    - `unwarned`: reached the gate without a verdict, and the PLC counted on the station until EDGE_DEAD_NS later.
    - `erased`: in the store before the fault, whenever judged, and not any more.
    - `excused`: the gate hit another part or none, and the line knew that it could not count on the station. Only where
      the station itself switches the gate, over a network that can be slow.
    - `repeats`: messages that came twice.
    - `resets`: RESET that a person had to give.

    On a web `unit` is "mm", and everything but messages and RESET is counted in millimetres (web.py).
    """

    parts: int = 0
    forgotten: int = 0
    lost: int = 0
    lost_mqtt: int = 0
    lost_store: int = 0
    second: int = 0
    wrong_part: int = 0
    missed: int = 0
    unwarned: int = 0
    erased: int = 0
    late: int = 0
    rejected_by_plc: int = 0
    repeats: int = 0
    resets: int = 0
    excused: int = 0
    known_ms: float | None = None
    faults: list[str] = field(default_factory=list)
    unit: str = "parts"

    @property
    def violated(self) -> bool:
        """Whether a promise was broken."""
        counts = (self.lost, self.lost_mqtt, self.second, self.wrong_part, self.missed, self.unwarned, self.erased)
        return any(counts) or bool(self.faults)


def _forgotten(events: Sequence[Event], trigger: Event) -> bool:
    """Whether the part was never read before its PLC died, or before other parts filled the whole ring."""
    later: int = 0
    away_at: int | None = 0
    was_read = restarted = False
    for event in events:
        if event["boot"] != trigger["boot"]:
            restarted = True
        elif event["kind"] == "read":
            was_read = was_read or event["trigger_seq"] >= trigger["part_seq"]
        elif event["kind"] == "trigger":
            later += event["part_seq"] > trigger["part_seq"]
        elif event["kind"] == "edge":
            if event["alive"] and away_at is not None and away_at < TRIGGER_SLOTS <= later:
                return True
            away_at = None if event["alive"] else later
    return restarted and not was_read


def account_for(
    events: Sequence[Event],
    messages: Sequence[Event],
    stored: set[PartKey] | None,
    window_ns: tuple[int, int],
    *,
    forgotten: Callable[[Sequence[Event], Event], bool] = _forgotten,
    dead_ns: int = EDGE_DEAD_NS,
    switches: bool = False,
) -> Account:
    """The parts that were triggered in the window. `stored` are those in the results store, None without one.

    `forgotten(events, trigger)`: whether no station can know of a part without a verdict. `dead_ns`: after so long a
    silence the line's program counts on the station no more. `switches`: the station itself switches the gate.
    """
    triggers = {
        _key(event): event
        for event in events
        if event["kind"] == "trigger" and window_ns[0] <= event["at_ns"] < window_ns[1]
    }
    at_plc: dict[PartKey, list[Event]] = defaultdict(list)
    gates: dict[PartKey, Event] = {}
    for event in events:
        if event["kind"] == "verdict":
            at_plc[_key(event)].append(event)
        elif event["kind"] == "gate":
            gates[_key(event)] = event
    told: dict[PartKey, Counter[tuple[int, int]]] = defaultdict(Counter)
    for body in messages:
        told[body["plc_boot_id"], body["part_seq"]][body["boot_id"], body["seq"]] += 1
    readiness = readiness_of(events)

    found = Account(parts=len(triggers))
    for key, trigger in triggers.items():
        verdicts, gate, numbers = at_plc.get(key, []), gates.get(key), told.get(key, Counter())
        if not verdicts and not numbers and forgotten(events, trigger):
            found.forgotten += 1
            continue
        found.lost += not verdicts and not numbers
        found.lost_mqtt += not numbers
        found.lost_store += stored is not None and key not in stored
        found.second += max(len(verdicts) - 1, 0) + max(len(numbers) - 1, 0)
        found.repeats += sum(numbers.values()) - len(numbers)
        found.late += any(verdict["how"] == "late" for verdict in verdicts)
        if gate is not None:
            until_ns = gate["at_ns"] + dead_ns + SCAN_NS
            is_doubted = doubted(readiness, trigger["at_ns"], until_ns)
            _look_at_gate(found, gate, verdicts, is_doubted=is_doubted, excusable=switches and is_doubted)
    return found


def known_ms(events: Sequence[Event], begun_ns: int, ended_ns: int) -> float | None:
    """How long after the start of the fault the PLC saw the station as not ready. None if it never did."""
    for event in events:
        if event["kind"] == "ready" and not event["ready"] and begun_ns <= event["at_ns"] < ended_ns:
            return float((event["at_ns"] - begun_ns) / 1e6)
    return None


def _look_at_gate(found: Account, gate: Event, verdicts: Sequence[Event], *, is_doubted: bool, excusable: bool) -> None:
    wrong = gate["fired"] and gate["hit"] != gate["part"]
    missed = not gate["fired"] and any(verdict["rejects"] and verdict["how"] == "in time" for verdict in verdicts)
    if excusable:
        found.excused += wrong or missed
    else:
        found.wrong_part += wrong
        found.missed += missed
    if gate["why"] == "no verdict":
        found.rejected_by_plc += 1
        found.unwarned += not is_doubted


def _key(event: Event) -> PartKey:
    return event["boot"], event["part_seq"]
