"""The settings that all PLCs as they are have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_inspector.codes import Decision, Promise
from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import ConfigError
from edge_inspector.plc.blocks import wrap32
from edge_inspector.plc.simple.cells import BIT, Number, PlcCell

_INPUTS = ("trigger", "trigger_count", "running", "alive", "enable", "challenge", "good", "bad", "recipe", "taken")
_OUTPUTS = ("heartbeat", "status")


class SimpleResult(BaseModel):
    """Where the station writes a result. The part's number is written last, so that a new number means a new result."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    decision: str
    """Place of the decision: a whole number, by `codes`."""
    part: str | None = None
    """Place of the part's number, as the PLC's own counter numbers it."""
    due: str | None = None
    """Place of the count at which the gate must act. 0 if the part's position is not known."""
    reason: str | None = None
    """Place of the reason's number (docs/reference.md)."""
    grade: str | None = None
    """Place of the grade of an accepted part: 1 for A, 2 for B, and so on. 0: none."""


class SimpleCodes(BaseModel):
    """What the decision says to the PLC."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    accept: Annotated[int, Field(ge=0, le=65535)] = 1
    """The part is good."""
    reject: Annotated[int, Field(ge=0, le=65535)] = 2
    """The part has a defect."""
    not_inspected: Annotated[int, Field(ge=0, le=65535)] = 3
    """The part was not inspected, and the gate must reject it."""
    passed: Annotated[int, Field(ge=0, le=65535)] = 4
    """The part was not inspected, and the recipe lets it pass."""


class SimpleSettings(DriverSettings):
    """Places are written as the PLC's programmer writes them, with the type behind `as`."""

    trigger: str
    """A counter that rises by one with each part, or a bit that is on while a part is at the photo-eye."""
    trigger_count: str | None = None
    """The encoder's count latched with the newest part. It must lie near the trigger. Without it, the time counts."""
    running: str | None = None
    """A bit that is on while the belt runs. A station without an encoder needs it."""
    alive: str | None = None
    """A number that changes in each scan of the PLC. Without it, nobody notices a PLC in STOP."""
    enable: str | None = None
    """A bit that switches the inspection off while it is off."""
    challenge: str | None = None
    """A bit that begins a challenge when it goes on. Only with `challenge.plc_bit`."""
    good: str | None = None
    """A bit that is on while the parts at the photo-eye are known to be good. It marks them and judges nothing."""
    bad: str | None = None
    """A bit that is on while the parts at the photo-eye are known to be bad."""
    recipe: str | None = None
    """The number of the recipe that the line expects. 0: any."""
    result: SimpleResult
    """Where the station writes its results."""
    taken: str | None = None
    """Where the PLC repeats the number of the result that it has taken. Then none is ever written over too early."""
    codes: SimpleCodes = SimpleCodes()
    """What the decision says to the PLC."""
    heartbeat: str
    """A number that the station counts up in each exchange, while it is ready. It stands still when it is not."""
    status: str | None = None
    """A number: 1 while the station is ready, 2 more while too many parts are rejected."""
    scan_ms: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """Longest scan of the PLC. What is read may be that old, and it is in the bound of each position."""
    hold_ms: Annotated[float, Field(ge=1, le=5000)] = 50.0
    """Time that a result stays before the next one is written: two scans. Not used if there is `taken`."""
    counts_per_unit: Annotated[float, Field(gt=0)] = 1.0
    """Encoder counts in one unit of `trigger_count` and `due`, as 10 if they are in mm and counts_per_mm is 10."""

    @abstractmethod
    def cell(self, text: str) -> PlcCell:
        """The place that a text means. Raises ConfigError."""

    @property
    def promise(self) -> Promise:
        """A counter shows a part that was missed, a bit does not. Nobody acknowledges a result."""
        return Promise.UNCOUNTED if self.cell(self.trigger).kind == BIT else Promise.COUNTED

    @property
    def states_run(self) -> bool:
        """Nothing says from which run of the PLC a count is."""
        return False

    @property
    def tells_running(self) -> bool:
        """With `running`."""
        return self.running is not None

    @property
    def cautions(self) -> Sequence[str]:
        """What such a PLC cannot show."""
        found = []
        if self.alive is None:
            found.append("nobody notices a PLC in STOP: set alive to a number that changes in each scan")
        if self.cell(self.trigger).kind == BIT:
            found.append("a part between two readings is missed unnoticed: let the PLC count the parts")
        return found

    @property
    def scan_ns(self) -> int:
        """`scan_ms`."""
        return int(self.scan_ms * 1e6)

    @property
    def hold_ns(self) -> int:
        """`hold_ms`."""
        return int(self.hold_ms * 1e6)

    def inputs(self) -> Mapping[str, PlcCell]:
        """The places that the station reads, by the name of their key."""
        return {name: self.cell(getattr(self, name)) for name in _INPUTS if getattr(self, name) is not None}

    def outputs(self) -> Mapping[str, PlcCell]:
        """The places that the station writes."""
        places: dict[str, Any] = {name: getattr(self, name) for name in _OUTPUTS} | dict(self.result)
        return {name: self.cell(place) for name, place in places.items() if place is not None}

    def counts_of(self, value: Number) -> int:
        """A value of the PLC in encoder counts."""
        return wrap32(round(value * self.counts_per_unit))

    def due_of(self, count: int) -> Number:
        """Encoder counts in the PLC's unit."""
        return count if self.counts_per_unit == 1.0 else count / self.counts_per_unit

    def code_of(self, decision: Decision, *, rejects: bool) -> int:
        """What the PLC is told."""
        if decision is Decision.NOT_INSPECTED:
            return self.codes.not_inspected if rejects else self.codes.passed
        return self.codes.accept if decision is Decision.ACCEPT else self.codes.reject

    @model_validator(mode="after")
    def _readable(self) -> SimpleSettings:
        try:
            inputs, outputs = self.inputs(), self.outputs()
        except ConfigError as error:
            raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
        for name, cell in outputs.items():
            if cell.kind == BIT:
                raise ValueError(f"{name} must be a number, not a bit")
            if cell.area in ("I", "input"):
                raise ValueError(f"{name} = {cell.text!r} cannot be written: inputs belong to the PLC")
        if inputs["trigger"].kind in ("real", "lreal"):
            raise ValueError("trigger must be a whole number or a bit")
        latched = inputs.get("trigger_count")
        if latched is not None and not latched.beside(inputs["trigger"]):
            raise ValueError("trigger_count must lie within 32 bytes of trigger, so that one request reads both")
        overlapping = _overlap(outputs)
        if overlapping:
            raise ValueError(f"{overlapping} are written to the same place")
        return self


class SimpleEncoderSettings(DriverSettings):
    """The encoder of a PLC as it is. Places are written with the type behind `as`."""

    count: str
    """Place of the encoder's value."""
    counts_per_unit: Annotated[float, Field(gt=0)] = 1.0
    """Encoder counts in one unit of the value, as 10 for a REAL in mm with counts_per_mm = 10."""
    scan_ms: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """Longest scan of the PLC. The value may be that old, and it is in the bound of each position."""
    new_roll: str | None = None
    """Place of a bit that rises when a new roll of a web begins. It must stay on for 200 ms."""

    @abstractmethod
    def cell(self, text: str) -> PlcCell:
        """The place that a text means. Raises ConfigError."""

    @property
    def tells_rolls(self) -> bool:
        """With `new_roll`."""
        return self.new_roll is not None

    @property
    def states_run(self) -> bool:
        """Nothing says from which run of the PLC a count is."""
        return False

    @model_validator(mode="after")
    def _readable(self) -> SimpleEncoderSettings:
        try:
            cell, new_roll = self.cell(self.count), self.new_roll and self.cell(self.new_roll)
        except ConfigError as error:
            raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
        if cell.kind == BIT:
            raise ValueError("count must be a number, not a bit")
        if new_roll and new_roll.kind != BIT:
            raise ValueError("new_roll must be a bit")
        return self


def _overlap(cells: Mapping[str, PlcCell]) -> str:
    ranked = sorted(cells.items(), key=lambda item: (item[1].memory, item[1].start))
    for (name, cell), (other_name, other) in pairwise(ranked):
        if cell.memory == other.memory and cell.start + cell.size > other.start:
            return f"{name} and {other_name}"
    return ""
