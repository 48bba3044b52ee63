"""The MQTT messages. These models are the published JSON schema. docs/mqtt.md explains each field."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_inspector.records import (
    CommandName,
    CommandResult,
    Defect,
    Identity,
    PlacedView,
    StationState,
    StationStatus,
    Verdict,
)


class _Message(BaseModel):
    # A field with a default is still always sent, and the published schema says so.
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


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


class CommandMessage(_Message):
    """A command to the station, on `command`. The sender chooses `id`. The same id is executed once.

    After `not_after` it is refused, because a message may have waited in some queue for days.
    """

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    command: CommandName
    recipe_id: Annotated[int, Field(ge=1, le=65535)] | None = None
    not_after: AwareDatetime | None = None

    @field_validator("command", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        # strict validation wants the enum member, but JSON has its name
        return CommandName(value) if isinstance(value, str) and value in set(CommandName) else value

    @field_validator("not_after", mode="before")
    @classmethod
    def _dated(cls, value: object) -> object:
        try:
            return datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError("is no date and time: write it as 2026-11-21T06:00:00Z") from None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.command is CommandName.SELECT_RECIPE) != (self.recipe_id is not None):
            raise ValueError("recipe_id goes with select_recipe and with nothing else")
        return self


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


def verdict_message(verdict: Verdict, station: str, utc: datetime) -> VerdictMessage:
    """`verdict` as it is published. `utc` is the time of the decision."""
    part = verdict.part
    return VerdictMessage(
        station=station,
        boot_id=verdict.boot_id,
        seq=verdict.seq,
        part_seq=part.part_seq,
        plc_boot_id=part.plc_boot_id,
        decision=verdict.decision.name,
        reason=verdict.reason.label,
        rejects=verdict.rejects,
        grade=verdict.grade,
        defects=tuple(_defect(defect) for defect in verdict.defects),
        views=tuple(_view(placed) for placed in verdict.views),
        missing_views=verdict.missing_views,
        positioned=part.positioned,
        trigger_count=part.trigger_count,
        due_count=part.due_count,
        error_mm=_known(verdict.error_mm),
        recipe_id=verdict.recipe_id,
        recipe_hash=verdict.recipe_hash,
        criteria=verdict.criteria,
        model=verdict.model,
        review=verdict.review,
        late=verdict.late,
        latency_us=verdict.latency_ns // 1000,
        decided_ns=verdict.decided_ns,
        utc=utc,
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


def _defect(defect: Defect) -> DefectMessage:
    return DefectMessage(
        camera=defect.camera,
        defect_class=defect.defect_class,
        area_mm2=defect.area_mm2,
        length_mm=defect.length_mm,
        confidence=defect.confidence,
        x_mm=defect.x_mm,
        y_mm=defect.y_mm,
    )


def _view(placed: PlacedView) -> ViewMessage:
    return ViewMessage(
        camera=placed.view.camera,
        frame_id=placed.view.frame_id,
        failure=placed.view.failure.label,
        encoder_count=_known(placed.position.count),
        error_counts=_known(placed.position.error_counts),
        captured_ns=placed.view.captured_ns,
        received_ns=placed.view.received_ns,
        begun_ns=placed.view.begun_ns,
        exposure_us=placed.view.exposure_ns / 1000,
        inference_us=placed.view.inference_ns / 1000,
    )


def _serialised(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity
