"""Lines of other kinds with faults: what can fail on each, and the fate of its parts."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.publish

from benchmarks.chaos.account import Account, account_for
from benchmarks.chaos.faults import Draw, Injection, killed, pulsed, restarted, stopped, weather
from benchmarks.chaos.line import ChaosLine
from benchmarks.chaos.web import account_for_web
from edge_inspector.simulation.lines.kinds import KINDS, LANES
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.readiness import SILENT_NS, doubted, readiness_of

Event = dict[str, Any]

_SPEED_MM_S = 1000.0
_PATIENCE_S = 3.0  # then somebody comes, and gives RESET
_GONE_NS = 5_000_000_000  # by now a part has passed the gate, if nobody knows when
_UNTIL_RESET = ("plc_numbers", "plc_triggers_lost", "verdict_late", "other_writer")
_CALM = """
[picture]
guard = "none"
[alarm]
rejects_in_a_row = 0
reject_share = 0
not_inspected_share = 1
blind_share = 1
"""


class KindLine(ChaosLine):
    """A running line of another kind."""

    def __init__(self, folder: Path, seed: int, name: str) -> None:
        self._name = name
        super().__init__(folder, seed)

    def unplug(self) -> None:
        """Pull the cable of the first camera."""
        (self.folder / "unplugged").touch()

    def plug_in(self) -> None:
        """Put it back."""
        (self.folder / "unplugged").unlink()

    def recover(self, timeout_s: float) -> bool:
        """Whether the line is well again in time. RESET is given where the station asks for a person."""
        self.wait_until(lambda: self.is_well() or self._waits_for_reset(), timeout_s)
        if not self.wait_until(self.is_well, _PATIENCE_S) and self._waits_for_reset():
            self.resets += 1
            body = {"schema_version": 1, "id": f"reset-{self.resets}", "command": "reset"}
            paho.mqtt.publish.single("edge/demo/command", json.dumps(body), qos=1, port=self.ports["broker"])
        return self.wait_until(self.is_well, timeout_s)

    def account(self, window_ns: tuple[int, int], stored: set[tuple[int, int]] | None) -> Account:
        """The fate of the parts that were triggered in the window."""
        if self.kind is not None and self.kind.promise == "acknowledged":
            found = super().account(window_ns, stored)
        elif self.kind is not None and self.kind.web:
            found = account_for_web(self.line, self.read_events(), self.recorder.verdicts(), window_ns)
        else:
            events, messages = by_part(self.read_events(), self.recorder.verdicts())
            found = account_for(
                events,
                messages,
                None,
                window_ns,
                forgotten=is_unannounced,
                dead_ns=SILENT_NS,
                switches=self.kind is not None and "modbus-output" in self.kind.links,
            )
        return found

    def _waits_for_reset(self) -> bool:
        """Whether all else is well again."""
        wrong = self.conditions() or []
        return bool(wrong) and all(each.startswith(_UNTIL_RESET) or each == "fault" for each in wrong)

    def _chosen(self, folder: Path, seed: int) -> DemoOptions:
        folder.mkdir(exist_ok=True)
        return DemoOptions(line=self._name, speed_mm_s=_SPEED_MM_S / min(1.0, KINDS[self._name].pace * 2), seed=seed)

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        station = self.folder / "station.toml"
        text = station.read_text().replace("lane = 0,", f'lane = 0, unplugged_by = "{self.folder}/unplugged",')
        if "commands = true" not in text:
            text = re.sub(r'(, |\n)version = "', r'\1commands = true\1version = "', text)
        station.write_text(text)
        for recipe in (self.folder / "recipe.toml", self.folder / "second.toml"):
            if recipe.exists() and "[alarm]" not in recipe.read_text():
                judged, _, _ = recipe.read_text().partition("not_inspected_share")
                recipe.write_text(judged + _CALM)


def is_unannounced(events: Sequence[Event], trigger: Event) -> bool:
    """Whether nobody announced the part to the station, and its line knew, or had died before it could."""
    key = trigger["part_seq"]
    gate = next((event for event in events if event["kind"] == "gate" and event["part_seq"] == key), None)
    until_ns = trigger["at_ns"] + _GONE_NS if gate is None else gate["at_ns"] + SILENT_NS
    readiness = readiness_of(events)
    return doubted(readiness, trigger["at_ns"], until_ns) or _died_with(events, trigger)


def _died_with(events: Sequence[Event], trigger: Event) -> bool:
    """Whether the line's own program began anew right after this part: its last words were never sent."""
    after = [event["kind"] for event in events[events.index(trigger) + 1 :] if event["kind"] in ("trigger", "boot")]
    return after[:1] == ["boot"]


def by_part(events: Sequence[Event], messages: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    """Events and messages with the part's own number, whoever has numbered it and how often anew.

    A message about no part that the line knows is left out.
    """
    numbers = {(event["boot"], event["part_seq"]): event["part"] for event in events if event["kind"] == "trigger"}
    heard = {
        tuple(event["told"]): event["part"]
        for event in events
        if event["kind"] == "verdict" and event.get("told") and event["part"] is not None
    }
    own: dict[int, dict[int, int]] = {}  # the station's own number of a part in one of its runs, and the part's
    for body in messages:
        part = heard.get((body["boot_id"], body["seq"]))
        if part is not None:
            own.setdefault(body["boot_id"], {})[body["part_seq"]] = part
    meant = {(body["boot_id"], body["seq"]): _part_of(body, numbers, own) for body in messages}
    told = [
        body | {"plc_boot_id": 1, "part_seq": part}
        for body in messages
        if (part := meant[body["boot_id"], body["seq"]]) is not None
    ]
    named = []
    for event in events:
        if event["kind"] not in ("trigger", "verdict", "gate"):
            named.append(event)
            continue
        part = event["part"]
        if part is None:
            number = numbers.get((event["boot"], event["part_seq"]))
            part = meant.get(tuple(event["told"]), number) if event.get("told") else number
        if part is not None:
            named.append(event | {"boot": 1, "part_seq": part})
    return named, told


def _part_of(body: Event, numbers: Mapping[tuple[int, int], int], own: Mapping[int, Mapping[int, int]]) -> int | None:
    name = str(body.get("part_id", ""))
    if name.startswith("part-"):  # a bench calls them so
        return int(name.removeprefix("part-"))
    boot, number = body["boot_id"], body["part_seq"]
    if body["plc_boot_id"] != boot:
        return numbers.get((body["plc_boot_id"], number))
    # The station numbers the parts itself. The line's program knows which ones it meant, if it was there to hear it.
    known = own.get(boot)
    if not known:
        return None
    nearest = min(known, key=lambda each: abs(each - number))
    return int(known[nearest] + number - nearest)


def _unplugged(chance: random.Random) -> Injection:
    def unplug(line: ChaosLine) -> None:
        if isinstance(line, KindLine):
            line.unplug()

    def plug_in(line: ChaosLine) -> None:
        if isinstance(line, KindLine):
            line.plug_in()

    return Injection("camera unplugged", unplug, plug_in, lasts_s=chance.uniform(0.2, 2.0))


_OF_ALL: tuple[Draw, ...] = (
    *(killed(what) for what in ("plc", "broker", "daemon")),
    *(stopped(what) for what in ("plc", "broker", "daemon")),
    restarted,
    pulsed,
    _unplugged,
    *(weather("broker", kind) for kind in ("delay", "truncate", "stall", "swallow", "cut")),
)
_AT_PLC: tuple[Draw, ...] = tuple(weather("plc", kind) for kind in ("delay", "truncate", "stall", "swallow", "cut"))


def draws_of(name: str) -> tuple[Draw, ...]:
    """The faults that make sense on this kind of line."""
    if name == LANES:
        return (*(draw for draw in _OF_ALL if draw is not _unplugged), *_AT_PLC)
    return (*_OF_ALL, *_AT_PLC) if "{ports[plc]}" in KINDS[name].links + KINDS[name].encoder else _OF_ALL
