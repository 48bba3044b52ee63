import json
import math
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from support.verdicts import announced, verdict

from edge_inspector.codes import Decision, ErrorCode, StationState
from edge_inspector.mqtt import messages
from edge_inspector.mqtt.messages import DefectMessage, StateMessage, VerdictMessage, ViewMessage
from edge_inspector.records import Defect, Identity, PlacedView, Position, StationStatus, Verdict, View
from edge_inspector.runtime.clock import utc_of, utc_text

DOCS = Path(__file__).parents[2] / "docs" / "mqtt.md"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
IDENTITY = Identity(
    station="press-3", boot_id=77, state_dir=Path("unused"), counts_per_mm=10.0, defect_classes=("scratch",)
)


def rejected(error_mm: float = 0.12, count: float = 1234.5) -> Verdict:
    view = View(
        "top",
        41,
        captured_ns=5_000_000,
        exposure_ns=200_000,
        received_ns=5_400_000,
        begun_ns=5_600_000,
        inference_ns=3_000_000,
    )
    return verdict(
        9,
        Decision.REJECT,
        boot_id=77,
        part=announced(3, plc_boot_id=5, due_count=6000),
        grade="C",
        defects=(Defect("top", "scratch", area_mm2=1.5, length_mm=4.0, confidence=0.91, x_mm=10.0, y_mm=20.0),),
        views=(PlacedView(view, Position(count, 1.0, 1)),),
        error_mm=error_mm,
        recipe_id=4,
        recipe_hash="ab12",
        criteria="0123456789abcdef",
        decided_ns=7_500_000,
        due_ns=9_000_000,
        missing_views=("side",),
    )


def test_a_verdict_message_says_all_that_the_verdict_says() -> None:
    payload = messages.verdict_payload(rejected(), "press-3", NOON, late=False)
    told = json.loads(payload)
    assert VerdictMessage.model_validate_json(payload).model_dump_json().encode() == payload, "byte by byte the model's"
    assert told == {
        "schema_version": 1,
        "station": "press-3",
        "boot_id": 77,
        "seq": 9,
        "part_seq": 3,
        "plc_boot_id": 5,
        "decision": "REJECT",
        "reason": "defect",
        "rejects": True,
        "grade": "C",
        "defects": [
            {
                "camera": "top",
                "defect_class": "scratch",
                "area_mm2": 1.5,
                "length_mm": 4.0,
                "confidence": 0.91,
                "x_mm": 10.0,
                "y_mm": 20.0,
            }
        ],
        "views": [
            {
                "camera": "top",
                "frame_id": 41,
                "failure": "none",
                "encoder_count": 1234.5,
                "error_counts": 1.0,
                "captured_ns": 5_000_000,
                "received_ns": 5_400_000,
                "begun_ns": 5_600_000,
                "exposure_us": 200.0,
                "inference_us": 3000.0,
            }
        ],
        "missing_views": ["side"],
        "positioned": True,
        "trigger_count": 1000,
        "due_count": 6000,
        "error_mm": 0.12,
        "recipe_id": 4,
        "recipe_hash": "ab12",
        "criteria": "0123456789abcdef",
        "model": "m-1/int8/cpu",
        "review": False,
        "late": False,
        "left_out": 0,
        "latency_us": 2500,
        "decided_ns": 7_500_000,
        "utc": "2026-11-21T12:00:00Z",
    }


def test_an_unknown_place_is_null() -> None:
    told = json.loads(
        messages.verdict_payload(rejected(error_mm=math.inf, count=math.nan), "press-3", NOON, late=False)
    )
    assert told["error_mm"] is None
    assert told["views"][0]["encoder_count"] is None


def test_a_place_in_whole_steps_is_written_like_any_other_number() -> None:
    payload = messages.verdict_payload(rejected(count=1234), "press-3", NOON, late=True)
    assert b'"encoder_count":1234.0,' in payload
    assert b'"late":true,' in payload
    assert VerdictMessage.model_validate_json(payload).model_dump_json().encode() == payload


def test_as_late_changes_nothing_else() -> None:
    payload = messages.verdict_payload(rejected(), "Prüfplatz", NOON, late=False)
    late = VerdictMessage.model_validate_json(messages.as_late(payload))
    assert late == VerdictMessage.model_validate_json(payload).model_copy(update={"late": True})


def test_state_messages() -> None:
    status = StationStatus(StationState.FAULT, ErrorCode.CAMERA_LOST, 4, parts=10, rejected=2, not_inspected=1)
    told = json.loads(messages.state_message(status, IDENTITY, NOON).model_dump_json())
    assert (told["state"], told["error_code"], told["error"]) == ("fault", 101, "camera_lost")
    assert (told["parts"], told["rejected"], told["not_inspected"], told["boot_id"]) == (10, 2, 1, 77)
    assert told["alarm"] is False
    assert messages.state_message(replace(status, alarm=True), IDENTITY, NOON).alarm is True
    will = messages.offline_message(IDENTITY)
    assert (will.state, will.alarm, will.parts, will.utc) == ("offline", None, None, None)
    assert StateMessage.model_validate_json(will.model_dump_json()) == will


def test_messages_are_frozen_and_closed() -> None:
    message = messages.offline_message(IDENTITY)
    with pytest.raises(ValidationError):
        message.state = StationState.READY  # type: ignore[misc]
    with pytest.raises(ValidationError):
        StateMessage.model_validate(message.model_dump() | {"extra": 1})


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Verdict", VerdictMessage),
        ("Defect", DefectMessage),
        ("View", ViewMessage),
        ("State", StateMessage),
        ("Birth", messages.BirthMessage),
        ("Gate", messages.GateMessage),
        ("Trigger", messages.TriggerMessage),
        ("Line", messages.LineMessage),
        ("Command", messages.CommandMessage),
        ("CommandResult", messages.CommandResultMessage),
    ],
)
def test_the_documented_fields_are_those_of_the_model(heading: str, model: type[BaseModel]) -> None:
    section = re.search(rf"^### {heading}\n(.*?)(?=^#|\Z)", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"docs/mqtt.md has no section {heading}"
    assert re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE) == list(model.model_fields)


def test_utc_follows_the_monotonic_clock() -> None:
    now = time.monotonic_ns()
    anchored = utc_of(now)
    assert abs(anchored.timestamp() - time.time_ns() / 1e9) < 1.0
    assert abs(utc_of(now - 3_600_000_000_000) - (anchored - timedelta(hours=1))) < timedelta(seconds=1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_text(now))
