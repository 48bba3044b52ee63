"""A gate without a PLC: outputs of a remote I/O station, which this program switches when the part is there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edge_inspector.codes import Decision, ErrorCode, Promise, StationState
from edge_inspector.drivers import PeerKind
from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.plc.modbus_connection import ModbusServer
from edge_inspector.plc.modbus_simple import ModbusMemory, modbus_cell
from edge_inspector.plc.simple.cells import BIT, PlcCell
from edge_inspector.records import Command, GateTime, Identity, PlcInput, StationStatus, Verdict

_QUEUE = 256  # parts between camera and gate
_AHEAD_NS = 20_000_000  # a part that is due sooner is waited for, so that the output switches at its very moment
_READY = (StationState.READY, StationState.DEGRADED)


@dataclass(slots=True)
class _Waiting:
    """A part that must be acted on, and when, as far as it is known by now."""

    verdict: Verdict
    at_ns: int | None


class ModbusOutput:
    """One output, owned by one thread. `events` counts what happened to parts that an output is for.

    - `fired`: it was switched. `slow`: later than its pulse is long.
    - `missed`: the moment had passed.
    """

    class Settings(ModbusServer):
        """The remote I/O station and its outputs: `coil 0`, `holding 3`."""

        peer_kind: ClassVar = PeerKind.OUTPUT

        fire: str
        """The output of the gate."""
        fires_on: Literal["accept", "reject"] = "reject"
        """What the output means. With `accept`, a part passes only if the station says so: a dead one rejects all."""
        grades: Mapping[Annotated[str, Field(pattern="^[A-Z]$")], str] = {}
        """Outputs of a sorter at the gate: `{ B = "coil 2" }` switches it for each accepted part of grade B."""
        pulse_ms: Annotated[float, Field(ge=5, le=5000)] = 100.0
        """Time that the output stays on for one part."""
        lead_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
        """Time from the output to the gate's action, by which it is switched earlier. Measure it."""
        ready: str | None = None
        """An output that is on while the station inspects. Set the I/O station's watchdog so that it drops alone."""

        @property
        def sorts_grades(self) -> Collection[str]:
            """The letters of `grades`."""
            return self.grades.keys()

        @property
        def acts_by_time(self) -> bool:
            """It switches when the part should be there."""
            return True

        @property
        def promise(self) -> Promise:
            """Nobody confirms that a part was rejected."""
            return Promise.COUNTED

        @property
        def cautions(self) -> Sequence[str]:
            """What the wiring cannot do by itself."""
            if self.fires_on == "accept":
                return ()
            return ('a dead station lets every part pass: let the output open the gate, with fires_on = "accept"',)

        @model_validator(mode="after")
        def _writable(self) -> Self:
            cells: dict[PlcCell, str] = {}
            for text in filter(None, (self.fire, self.ready, *self.grades.values())):
                try:
                    cell = modbus_cell(text)
                except ConfigError as error:
                    raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
                if cell.area not in ("coil", "holding") or (cell.area == "holding" and cell.kind == BIT):
                    raise ValueError(f"{text!r} is no output: write a coil or a whole holding register")
                place = replace(cell, text="")
                if place in cells:
                    raise ValueError(f"{text!r} has two meanings: fire, ready and grades need an output each")
                cells[place] = text
            return self

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.connected = False
        self.events: Counter[str] = Counter()
        self.troubles: dict[ErrorCode, str] = {}
        self._settings = settings
        self._gate_time = identity.gate_time
        self._memory = ModbusMemory(settings)
        self._fire, self._ready = modbus_cell(settings.fire), settings.ready and modbus_cell(settings.ready)
        self._sorters = {grade: modbus_cell(text) for grade, text in settings.grades.items()}
        self._waiting: list[_Waiting] = []
        self._on: dict[PlcCell, int] = {}  # until when
        self._incidents: list[tuple[ErrorCode, str]] = []

    def open(self) -> None:
        """Connect, and switch the outputs off: a broken connection may have left them on. Raises DeviceError."""
        self._memory.open()
        for cell in (self._fire, *self._sorters.values()):
            self._switch(cell, on=False)

    def probe(self) -> str:
        """Read the output. It is not switched. Raises DeviceError."""
        self._memory.open()
        try:
            self._memory.read(self._fire, self._fire.size)
        finally:
            self._memory.close()
        sorts = "".join(f", {place} sorts grade {grade}" for grade, place in self._settings.grades.items())
        return f"{self._memory.address}, {self._settings.fire} fires on {self._settings.fires_on}{sorts}"

    def look(self) -> PlcInput | None:
        """Always None: an output says nothing."""
        return None

    def exchange(self, status: StationStatus) -> PlcInput | None:
        """Switch what is due now or in a moment, and say whether the station is ready. Raises DeviceError."""
        try:
            if isinstance(self._ready, PlcCell):
                self._switch(self._ready, on=status.state in _READY)
            self._act(time.monotonic_ns())
        except DeviceError:
            self.connected = False
            raise
        self.connected = True
        return None

    def commands(self) -> Sequence[Command]:
        """Always empty."""
        return ()

    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        """Parts that a person must take out, since the last call."""
        told, self._incidents = self._incidents, []
        return told

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """How many verdicts this output will act on, or need not."""
        if not self.connected:
            return 0
        count = 0
        for verdict in verdicts:
            if len(self._waiting) >= _QUEUE:
                break
            if any(self._outputs_for(verdict)):
                self._waiting.append(_Waiting(verdict, None))
            count += 1
        return count

    def close(self) -> None:
        """Switch the outputs off, and disconnect."""
        if self._memory.is_open:
            with suppress(DeviceError):
                for cell in (self._fire, *self._sorters.values(), self._ready):
                    if isinstance(cell, PlcCell):
                        self._switch(cell, on=False)
        self.connected = False
        self._on.clear()
        self._memory.close()

    @property
    def backlog(self) -> int:
        """Parts on their way to the gate."""
        return len(self._waiting)

    def _outputs_for(self, verdict: Verdict) -> Sequence[PlcCell]:
        """The outputs that are switched when this part is at the gate."""
        fires = verdict.rejects is (self._settings.fires_on == "reject")
        sorter = self._sorters.get(verdict.grade) if verdict.decision is Decision.ACCEPT else None
        return [*([self._fire] if fires else []), *([sorter] if sorter is not None else [])]

    def _act(self, now: int) -> None:
        for cell in [cell for cell, until_ns in self._on.items() if now >= until_ns]:
            self._switch(cell, on=False)
            del self._on[cell]
        for each in self._waiting:
            self._foresee(each, self._gate_time(each.verdict), now)
        self._waiting = [each for each in self._waiting if each.at_ns != 0]
        due = [each for each in self._waiting if each.at_ns is not None and each.at_ns - now < _AHEAD_NS]
        for each in sorted(due, key=lambda each: each.at_ns or 0):
            answered_ns = self._pulse(each.at_ns or now, self._outputs_for(each.verdict))
            self._waiting.remove(each)  # only now: a part whose write failed is tried again, or told
            self._tell_if_slow(each.verdict, answered_ns - (each.at_ns or now))

    def _foresee(self, each: _Waiting, gate: GateTime | None, now: int) -> None:
        """When the output must switch, as the belt runs now. `at_ns` is 0 for a part that nobody can follow."""
        part = each.verdict.part
        if gate is None:
            self._give_up(each, f"nobody knows when part {part.part_seq} is at the gate")
            return
        at_ns = None if gate.at_ns is None else gate.at_ns - int(self._settings.lead_ms * 1e6)
        if at_ns is not None and at_ns < now - int(self._settings.pulse_ms * 1e6):
            self.events["missed"] += 1
            self._give_up(each, f"part {part.part_seq} passed the gate before the output could be switched for it")
            return
        each.at_ns = at_ns

    def _give_up(self, each: _Waiting, why: str) -> None:
        each.at_ns = 0
        what = f"it has grade {each.verdict.grade}, and was not sorted"
        if self._settings.fires_on == "accept":
            what = "it is good, and was rejected"
        elif each.verdict.rejects:
            what = "take it out by hand"
        self._incidents.append((ErrorCode.VERDICT_LATE, f"{why}: {what}"))

    def _tell_if_slow(self, verdict: Verdict, late_ns: int) -> None:
        """A network that delays the request makes the gate act on another part, and nobody can call it back."""
        if late_ns <= self._settings.pulse_ms * 1e6:
            return
        self.events["slow"] += 1
        what = (
            f"the output for part {verdict.part.part_seq} was switched up to {late_ns / 1e6:.0f} ms late, and may have "
            "acted on another part: look at both. Is the network to the outputs slow?"
        )
        self._incidents.append((ErrorCode.VERDICT_LATE, what))

    def _pulse(self, at_ns: int, cells: Sequence[PlcCell]) -> int:
        """Switch at this moment. Returns when the last output was surely switched."""
        left_s = (at_ns - time.monotonic_ns()) / 1e9
        if left_s > 0:
            time.sleep(left_s)
        for cell in cells:
            self._switch(cell, on=True)
            self._on[cell] = time.monotonic_ns() + int(self._settings.pulse_ms * 1e6)
        self.events["fired"] += 1
        return time.monotonic_ns()

    def _switch(self, cell: PlcCell, *, on: bool) -> None:
        if cell.area == "coil":
            self._memory.write_bit(cell.start // 2, on=on)
        else:
            self._memory.write(cell, cell.pack(int(on)))
