"""What is wrong now, and what the PLC and the operator are told of it."""

import logging
import time

import pytest

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.runtime.conditions import FAULTS, WARNINGS, Conditions


@pytest.fixture
def running() -> Conditions:
    conditions = Conditions()
    conditions.phase(StationState.READY)
    return conditions


def test_a_station_is_starting_until_it_is_told_otherwise() -> None:
    assert Conditions().state is StationState.STARTING


@pytest.mark.parametrize("phase", [StationState.STARTING, StationState.STOPPING])
def test_what_is_wrong_does_not_make_a_starting_or_stopping_station_ready(phase: StationState) -> None:
    conditions = Conditions()
    conditions.phase(phase)
    conditions.set(ErrorCode.WORKER_FAILED, "judge")
    assert conditions.state is phase
    assert conditions.error_code is ErrorCode.WORKER_FAILED


def test_nothing_wrong_is_ready_with_no_code(running: Conditions) -> None:
    assert (running.state, running.error_code) == (StationState.READY, ErrorCode.NONE)


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - FAULTS - WARNINGS - {ErrorCode.NONE, ErrorCode.SWITCHED_OFF}))
def test_what_still_leaves_every_part_its_verdict_only_degrades(running: Conditions, code: ErrorCode) -> None:
    running.set(code, "somewhere")
    assert (running.state, running.error_code) == (StationState.DEGRADED, code)


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_what_breaks_the_promise_of_a_verdict_is_a_fault(running: Conditions, code: ErrorCode) -> None:
    running.set(ErrorCode.CAMERA_LOST, "cam1")
    running.set(code, "somewhere")
    assert (running.state, running.error_code) == (StationState.FAULT, code)
    running.clear(code, "somewhere")
    assert (running.state, running.error_code) == (StationState.DEGRADED, ErrorCode.CAMERA_LOST)


def test_what_breaks_the_first_promise_is_a_fault() -> None:
    expected = {
        ErrorCode.PLC_LOST,
        ErrorCode.PLC_RING_FULL,
        ErrorCode.PLC_TRIGGERS_LOST,
        ErrorCode.VERDICT_LATE,
        ErrorCode.OTHER_WRITER,
        ErrorCode.PLC_NUMBERS,
        ErrorCode.LINE_BLIND,
        ErrorCode.WEB_BACKWARDS,
        ErrorCode.MODEL_NOT_LOADED,
        ErrorCode.WORKER_FAILED,
    }
    assert expected == FAULTS


def test_switched_off_is_a_state_of_its_own_and_only_a_fault_is_graver(running: Conditions) -> None:
    running.set(ErrorCode.CAMERA_LOST, "cam1")
    running.set(ErrorCode.SWITCHED_OFF, "web:anna", "since 06:00")
    assert (running.state, running.error_code) == (StationState.OFF, ErrorCode.SWITCHED_OFF)
    running.set(ErrorCode.VERDICT_LATE, "plc")
    assert running.state is StationState.FAULT


def test_a_reason_that_changes_is_told_again(running: Conditions, caplog: pytest.LogCaptureFixture) -> None:
    running.set(ErrorCode.CAMERA_LOST, "cam1", "no route to host")
    running.set(ErrorCode.CAMERA_LOST, "cam1", "no route to host")
    running.set(ErrorCode.CAMERA_LOST, "cam1", "another program controls the camera")
    assert [condition.why for condition in running.reasons()] == ["another program controls the camera"]
    assert caplog.messages == [
        "camera_lost (E101) cam1: no route to host",
        "camera_lost (E101) cam1: another program controls the camera",
    ]


def test_other_numbers_alone_are_no_news_but_the_latest_are_kept(
    running: Conditions, caplog: pytest.LogCaptureFixture
) -> None:
    for part in range(5):
        running.set(ErrorCode.VERDICT_LATE, "plc", f"the verdict on part {part} was late")
    assert len(caplog.messages) == 1
    assert running.reasons()[0].why == "the verdict on part 4 was late"


def test_what_is_set_until_reset_stays_until_reset(running: Conditions) -> None:
    running.set(ErrorCode.OTHER_WRITER, "plc", "part 15", until_reset=True)
    running.set(ErrorCode.OTHER_WRITER, "plc", "part 16")
    running.clear(ErrorCode.OTHER_WRITER, "plc")
    assert running.holds(ErrorCode.OTHER_WRITER)
    running.reset()
    assert not running.holds(ErrorCode.OTHER_WRITER)
    assert running.state is StationState.READY


def test_the_snapshot_has_the_gravest_first_then_by_number_and_subject(running: Conditions) -> None:
    for code, subject in (
        (ErrorCode.BROKER_LOST, "broker"),
        (ErrorCode.CAMERA_LOST, "cam2"),
        (ErrorCode.WORKER_FAILED, "judge"),
        (ErrorCode.CAMERA_LOST, "cam1"),
        (ErrorCode.PLC_RING_FULL, "plc"),
    ):
        running.set(code, subject)
    assert [(int(code), subject) for code, subject in running.snapshot()] == [
        (401, "plc"),
        (901, "judge"),
        (101, "cam1"),
        (101, "cam2"),
        (501, "broker"),
    ]


def test_subjects_are_kept_apart(running: Conditions) -> None:
    running.set(ErrorCode.CAMERA_LOST, "cam1")
    running.set(ErrorCode.CAMERA_LOST, "cam2")
    running.clear(ErrorCode.CAMERA_LOST, "cam1")
    assert running.held(ErrorCode.CAMERA_LOST, "cam2")
    assert not running.held(ErrorCode.CAMERA_LOST, "cam1")
    assert running.state is StationState.DEGRADED


def test_a_condition_just_over_still_explains_a_missing_view_for_a_while(running: Conditions) -> None:
    running.set(ErrorCode.CAMERA_LOST, "cam1")
    running.clear(ErrorCode.CAMERA_LOST, "cam1")
    assert not running.held(ErrorCode.CAMERA_LOST, "cam1")
    assert running.held(ErrorCode.CAMERA_LOST, "cam1", within_s=60.0)
    time.sleep(0.01)
    assert not running.held(ErrorCode.CAMERA_LOST, "cam1", within_s=0.005)


def test_what_never_was_is_never_held(running: Conditions) -> None:
    running.clear(ErrorCode.CAMERA_LOST, "cam1")
    assert not running.held(ErrorCode.CAMERA_LOST, "cam1", within_s=60.0)


def test_beginning_and_end_are_logged_once_each_with_the_reason(
    running: Conditions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        running.set(ErrorCode.PLC_LOST, "plc", "no answer in time")
    for _ in range(3):
        running.clear(ErrorCode.PLC_LOST, "plc")
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "plc_lost (E403) plc: no answer in time"
    assert second.startswith("plc_lost (E403) plc: over after ")


def test_a_warning_is_shown_but_the_station_stays_ready(running: Conditions) -> None:
    running.set(ErrorCode.DRIFT, "cam1 brightness")
    assert running.state is StationState.READY
    assert running.error_code is ErrorCode.NONE
    assert running.snapshot() == [(ErrorCode.DRIFT, "cam1 brightness")]
    running.set(ErrorCode.CAMERA_LOST, "cam1")
    assert running.state is StationState.DEGRADED
    assert running.error_code is ErrorCode.CAMERA_LOST


def test_numbers_on_the_wire_never_change() -> None:
    assert {code.name: int(code) for code in ErrorCode} == {
        "NONE": 0,
        "CAMERA_LOST": 101,
        "ENCODER_LOST": 201,
        "COUNT_MISMATCH": 202,
        "LINE_MISMATCH": 203,
        "WEB_BACKWARDS": 204,
        "BAD_PICTURES": 102,
        "CAMERA_LEFT_OUT": 103,
        "CAMERA_ADJUSTED": 104,
        "INFERENCE_FAILED": 301,
        "MASKS_SILENT": 302,
        "MODEL_NOT_LOADED": 303,
        "PLC_RING_FULL": 401,
        "PLC_TRIGGERS_LOST": 402,
        "PLC_LOST": 403,
        "VERDICT_LATE": 404,
        "OTHER_WRITER": 405,
        "PLC_NUMBERS": 406,
        "BROKER_LOST": 501,
        "OUTBOX_FULL": 502,
        "NO_SUBSCRIBER": 503,
        "MESSAGE_TOO_LARGE": 504,
        "RECIPE_MISMATCH": 601,
        "CRITERIA_CHANGED": 602,
        "PARTS_NOT_INSPECTED": 603,
        "LINE_BLIND": 604,
        "MANY_REJECTS": 605,
        "SWITCHED_OFF": 606,
        "UNTRUSTED": 607,
        "CHALLENGE_DUE": 608,
        "CHALLENGE_FAILED": 609,
        "RECIPE_CHANGING": 610,
        "ROLLOUT_BACK": 611,
        "ROLLOUT_REFUSED": 612,
        "ROLLOUT_WAITS": 613,
        "ARCHIVE_INCOMPLETE": 701,
        "SIDE_WORKER_FAILED": 702,
        "STATE_LOST": 703,
        "CLOCK_STEPPED": 704,
        "PAGE_LOST": 705,
        "RECORD_ENDED": 706,
        "CERTIFICATE_ENDS": 707,
        "DRIFT": 801,
        "PICTURES_UNGUARDED": 802,
        "WORKER_FAILED": 901,
    }


def test_at_the_start_only_what_is_said_twice_is_news(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    conditions = Conditions(patience_s=0.05)
    conditions.set(ErrorCode.CAMERA_LOST, "cam1", "not open yet")
    conditions.set(ErrorCode.CAMERA_LOST, "cam1", "not connected")
    conditions.set(ErrorCode.PLC_LOST, "plc", "not open yet")
    assert caplog.messages == []
    time.sleep(0.06)
    conditions.set(ErrorCode.CAMERA_LOST, "cam1", "no route to host")
    conditions.set(ErrorCode.CAMERA_LOST, "cam1", "no route to host")
    conditions.clear(ErrorCode.PLC_LOST, "plc")
    conditions.clear(ErrorCode.CAMERA_LOST, "cam1")
    assert caplog.messages[0] == "camera_lost (E101) cam1: no route to host"
    assert caplog.messages[1].startswith("plc is ready after ")
    assert caplog.messages[2].startswith("camera_lost (E101) cam1: over after ")
    assert len(caplog.messages) == 3


def test_a_camera_that_is_left_out_is_news_at_the_start_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Conditions().set(ErrorCode.CAMERA_LEFT_OUT, "top", "it ended the daemon", until_reset=True)
    assert "camera_left_out (E103) top: it ended the daemon" in caplog.text
