"""The MQTT messages. These models are the published JSON schema. docs/mqtt.md explains each field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import to_json

from edge_inspector import __version__
from edge_inspector.codes import CommandName, Promise, StationState
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.records import (
    CommandResult,
    Defect,
    GateTime,
    Identity,
    PlacedView,
    RollMark,
    StationStatus,
    Stretch,
    Verdict,
)


class _Message(BaseModel):
    # A field with a default is still always sent, and the published schema says so.
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


def _is_empty(value: object) -> bool:
    """A field that only some stations have is left out elsewhere."""
    return not value


def _is_full(promise: Promise) -> bool:
    """The promise that a station keeps unless it says otherwise."""
    return promise is Promise.ACKNOWLEDGED


def _sent_by_some(*names: str) -> Callable[[dict[str, Any]], None]:
    """These fields are sent by some stations only, and the schema requires them of none."""

    def relax(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema.get("required", []) if name not in names]

    return relax


def _date(value: object) -> object:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("is no date and time: write it as 2026-11-21T06:00:00Z") from None


class GateMessage(_Message):
    """When the part's leading edge will be at the gate if the belt goes on as it runs now, and how far off that may be.

    `in_ms` counts from the decision, `utc` is the same instant by the station's clock. `error_ms` is null if the part's
    position cannot be trusted.
    """

    in_ms: float
    error_ms: float | None
    utc: AwareDatetime


class DefectMessage(_Message):
    """One defect, measured on the part."""

    camera: str
    defect_class: str
    area_mm2: float
    length_mm: float
    confidence: float
    x_mm: float
    y_mm: float


class ViewMessage(_Message):
    """One view that the verdict uses. Its place is null if the position of the belt is not known."""

    camera: str
    frame_id: int
    failure: str
    encoder_count: float | None
    error_counts: float | None
    captured_ns: int
    received_ns: int
    begun_ns: int
    exposure_us: float
    inference_us: float


class MarkMessage(_Message):
    """One defect of a web. The same number comes again when the defect goes on, and then it is larger.

    `along_m` and `across_mm` are its middle, from the start of the roll and from the web's left edge.
    """

    number: int
    defect_class: str
    camera: str
    along_m: float
    across_mm: float
    from_m: float
    to_m: float
    left_mm: float
    right_mm: float
    area_mm2: float
    confidence: float
    error_mm: float


class StretchMessage(_Message):
    """The stretch of a web that a verdict is about, in metres from the start of its roll."""

    roll: str
    roll_number: int
    from_m: float
    to_m: float
    breaks: int
    marks: tuple[MarkMessage, ...]


class VerdictMessage(_Message):
    """The final verdict on one part: on `verdict` and, if the gate must fire, on `reject`."""

    schema_version: Literal[1] = 1
    station: str
    boot_id: int
    seq: int
    part_seq: int
    plc_boot_id: int
    decision: Literal["ACCEPT", "REJECT", "NOT_INSPECTED"]
    reason: str
    rejects: bool
    grade: str
    defects: tuple[DefectMessage, ...]
    views: tuple[ViewMessage, ...]
    missing_views: tuple[str, ...]
    positioned: bool
    trigger_count: int
    due_count: int
    error_mm: float | None
    recipe_id: int
    recipe_hash: str
    criteria: str = ""
    model: str
    review: bool
    late: bool
    left_out: int = 0
    latency_us: int
    decided_ns: int
    utc: AwareDatetime
    part_id: Annotated[str, Field(exclude_if=_is_empty)] = ""
    gate: Annotated[GateMessage | None, Field(exclude_if=_is_empty)] = None
    challenge: Annotated[str, Field(exclude_if=_is_empty)] = ""
    stretch: Annotated[StretchMessage | None, Field(exclude_if=_is_empty)] = None

    model_config = ConfigDict(json_schema_extra=_sent_by_some("part_id", "gate", "challenge", "stretch"))


class RolloutMessage(_Message):
    """The latest roll-out at the station, as `edge-inspector rollout` names its steps. `why` says why it goes back."""

    package: str
    step: str
    wanted: str
    since: AwareDatetime | None
    why: str


class StateMessage(_Message):
    """The state of the station, on `state`, retained. Null marks fields that a last will cannot know."""

    schema_version: Literal[1] = 1
    station: str
    boot_id: int
    state: StationState | Literal["offline"]
    error_code: int
    error: str
    alarm: bool | None
    recipe_id: int | None
    parts: int | None
    rejected: int | None
    not_inspected: int | None
    utc: AwareDatetime | None
    promise: Annotated[Promise, Field(exclude_if=_is_full)] = Promise.ACKNOWLEDGED
    rollout: Annotated[RolloutMessage | None, Field(exclude_if=_is_empty)] = None

    model_config = ConfigDict(json_schema_extra=_sent_by_some("promise", "rollout"))


class BirthMessage(_Message):
    """Who the station is and where its page is, on `birth`, retained. `state` says whether it lives."""

    schema_version: Literal[1] = 1
    station: str
    boot_id: int
    version: str
    page: str
    site: str
    place: str
    utc: AwareDatetime


class CommandMessage(_Message):
    """A command to the station, on `command`. The sender chooses `id`. The same id is executed once.

    With `new_roll` the id is the name of the roll. After `not_after` it is refused, because a message
    may have waited in some queue for days. `why` is for the audit trail.
    """

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    command: CommandName
    recipe_id: Annotated[int, Field(ge=1, le=65535)] | None = None
    not_after: AwareDatetime | None = None
    why: Annotated[str, Field(max_length=300)] = ""

    @field_validator("command", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        # strict validation wants the enum member, but JSON has its name
        return CommandName(value) if isinstance(value, str) and value in set(CommandName) else value

    @field_validator("not_after", mode="before")
    @classmethod
    def _dated(cls, value: object) -> object:
        return _date(value)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.command is CommandName.SELECT_RECIPE) != (self.recipe_id is not None):
            raise ValueError("recipe_id belongs to select_recipe only")
        return self


class TriggerMessage(_Message):
    """A part passed the photo-eye, on `trigger`, not retained. The sender is the line's gateway or its PLC.

    `seq` rises by one from part to part. `run` is another text whenever `seq` begins anew. `count` is the encoder count
    latched at the photo-eye. Without it, the part was there when the message came, or up to `trigger_delay_ms` earlier.
    With `utc`, the time of the photo-eye, a message that was on its way for longer is noticed.
    """

    schema_version: Literal[1] = 1
    seq: Annotated[int, Field(ge=1, le=2**32 - 1)] | None = None
    part_id: Annotated[str, Field(max_length=64)] = ""
    count: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] | None = None
    run: Annotated[str, Field(max_length=64)] = ""
    utc: AwareDatetime | None = None

    @field_validator("utc", mode="before")
    @classmethod
    def _dated(cls, value: object) -> object:
        return _date(value)


class LineMessage(_Message):
    """Whether the belt runs, on `line`. Sent at least every `line_silent_s`, and at once when it changes."""

    schema_version: Literal[1] = 1
    running: bool


class CommandResultMessage(_Message):
    """The result of a command, on `command/result`. `error` is empty on success. `id` is null if it was unreadable."""

    schema_version: Literal[1] = 1
    station: str
    boot_id: int
    id: str | None
    done: bool
    error: str
    recipe_id: int
    utc: AwareDatetime


def verdict_payload(
    verdict: Verdict, station: str, utc: datetime, *, late: bool, gate: GateTime | None = None
) -> bytes:
    """A VerdictMessage as it is published. `utc` is the time of the decision, `gate` when the part is at the gate.

    It is the same JSON as that of the model, without building and checking the model for every part.
    """
    part = verdict.part
    told = None if gate is None else _gate(gate, verdict.decided_ns, utc)
    return to_json(
        {
            "schema_version": 1,
            "station": station,
            "boot_id": verdict.boot_id,
            "seq": verdict.seq,
            "part_seq": part.part_seq,
            "plc_boot_id": part.plc_boot_id,
            "decision": verdict.decision.name,
            "reason": verdict.reason.label,
            "rejects": verdict.rejects,
            "grade": verdict.grade,
            "defects": [_defect(defect) for defect in verdict.defects],
            "views": [_view(placed) for placed in verdict.views],
            "missing_views": verdict.missing_views,
            "positioned": part.positioned,
            "trigger_count": part.trigger_count,
            "due_count": part.due_count,
            "error_mm": _number(verdict.error_mm),
            "recipe_id": verdict.recipe_id,
            "recipe_hash": verdict.recipe_hash,
            "criteria": verdict.criteria,
            "model": verdict.model,
            "review": verdict.review,
            "late": late,
            "left_out": 0,
            "latency_us": verdict.latency_ns // 1000,
            "decided_ns": verdict.decided_ns,
            "utc": utc,
            **({"part_id": part.part_id} if part.part_id else {}),
            **({"challenge": verdict.challenge} if verdict.challenge else {}),
            **({"gate": told.model_dump()} if told is not None else {}),
            **({"stretch": _stretch(verdict.stretch)} if verdict.stretch is not None else {}),
        }
    )


def as_late(payload: bytes) -> bytes:
    """A serialised VerdictMessage, marked as sent after the part was due. Raises the errors of `shortened`."""
    return _serialised(json.loads(payload) | {"late": True})


def shortened(payload: bytes, longest: int) -> bytes | None:
    """A serialised VerdictMessage in at most `longest` bytes. None if even the shortest one is longer.

    Defects are left out, the least certain first. Raises ValueError, TypeError or KeyError if `payload` is no such
    message.
    """
    if len(payload) <= longest:
        return payload
    body = json.loads(payload)
    defects = sorted(body["defects"], key=lambda defect: -defect["confidence"])
    keep = len(defects)
    while keep:
        keep //= 2
        body |= {"defects": defects[:keep], "left_out": len(defects) - keep}
        shorter = _serialised(body)
        if len(shorter) <= longest:
            return shorter
    return None


def state_message(status: StationStatus, identity: Identity, utc: datetime) -> StateMessage:
    """The station's state at `utc`."""
    told = identity.rollout()
    return StateMessage(
        station=identity.station,
        boot_id=identity.boot_id,
        state=status.state,
        error_code=int(status.error_code),
        error=status.error_code.name.lower(),
        alarm=status.alarm,
        recipe_id=status.recipe_id,
        parts=status.parts,
        rejected=status.rejected,
        not_inspected=status.not_inspected,
        utc=utc,
        promise=identity.promise,
        rollout=None if told is None else RolloutMessage(**asdict(told)),
    )


def offline_message(identity: Identity, utc: datetime | None = None) -> StateMessage:
    """The state "gone". The station sends it itself at `utc`, or the broker sends it as the last will."""
    return StateMessage(
        station=identity.station,
        boot_id=identity.boot_id,
        state="offline",
        error_code=0,
        error="none",
        alarm=None,
        recipe_id=None,
        parts=None,
        rejected=None,
        not_inspected=None,
        utc=utc,
    )


def birth_message(settings: MqttSettings, identity: Identity, utc: datetime) -> BirthMessage:
    """The announcement of the station at `utc`."""
    return BirthMessage(
        station=identity.station,
        boot_id=identity.boot_id,
        version=__version__,
        page=settings.page,
        site=settings.site,
        place=settings.place,
        utc=utc,
    )


def command_result_message(
    command_id: str | None, result: CommandResult, identity: Identity, utc: datetime
) -> CommandResultMessage:
    """The answer to the command called `command_id`, given at `utc`."""
    return CommandResultMessage(
        station=identity.station,
        boot_id=identity.boot_id,
        id=command_id,
        done=not result.error,
        error=result.error,
        recipe_id=result.recipe_id,
        utc=utc,
    )


def _gate(gate: GateTime, decided_ns: int, utc: datetime) -> GateMessage | None:
    if gate.at_ns is None:
        return None
    in_ms = (gate.at_ns - decided_ns) / 1e6
    error_ms = None if gate.error_ns is None else round(gate.error_ns / 1e6, 1)
    return GateMessage(in_ms=round(in_ms, 1), error_ms=error_ms, utc=utc + timedelta(milliseconds=in_ms))


def _stretch(stretch: Stretch) -> dict[str, Any]:
    return {
        "roll": stretch.roll,
        "roll_number": stretch.roll_number,
        "from_m": _metres(stretch.from_mm),
        "to_m": _metres(stretch.to_mm),
        "breaks": stretch.breaks,
        "marks": [_mark(mark) for mark in stretch.marks],
    }


def _mark(mark: RollMark) -> dict[str, Any]:
    return {
        "number": mark.number,
        "defect_class": mark.defect_class,
        "camera": mark.camera,
        "along_m": _metres((mark.from_mm + mark.to_mm) / 2),
        "across_mm": round((mark.left_mm + mark.right_mm) / 2, 1),
        "from_m": _metres(mark.from_mm),
        "to_m": _metres(mark.to_mm),
        "left_mm": mark.left_mm,
        "right_mm": mark.right_mm,
        "area_mm2": float(mark.area_mm2),
        "confidence": float(mark.confidence),
        "error_mm": float(mark.error_mm),
    }


def _metres(value_mm: float) -> float:
    return round(value_mm / 1000, 4)


def _defect(defect: Defect) -> dict[str, Any]:
    return {
        "camera": defect.camera,
        "defect_class": defect.defect_class,
        "area_mm2": float(defect.area_mm2),
        "length_mm": float(defect.length_mm),
        "confidence": float(defect.confidence),
        "x_mm": float(defect.x_mm),
        "y_mm": float(defect.y_mm),
    }


def _view(placed: PlacedView) -> dict[str, Any]:
    view, position = placed.view, placed.position
    return {
        "camera": view.camera,
        "frame_id": view.frame_id,
        "failure": view.failure.label,
        "encoder_count": _number(position.count),
        "error_counts": _number(position.error_counts),
        "captured_ns": view.captured_ns,
        "received_ns": view.received_ns,
        "begun_ns": view.begun_ns,
        "exposure_us": view.exposure_ns / 1000,
        "inference_us": view.inference_ns / 1000,
    }


def _number(value: float) -> float | None:
    # A count of whole steps is written like any other number.
    return float(value) if math.isfinite(value) else None


def _serialised(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
