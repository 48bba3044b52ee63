"""Exposure and gain that an admin changes on the page: within limits, told to everybody, and kept across restarts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.page import Page, camera_threads, plant_of, serving, station_files

from edge_inspector.cameras.clock import Exposure
from edge_inspector.cameras.folder import FolderCamera
from edge_inspector.cameras.opencv import OpenCvCamera
from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.pipeline import _cameras
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.simulation.camera import SimulatedCamera
from edge_inspector.station.adjustments import adjustment_faults
from edge_inspector.station.load import load_station
from edge_inspector.store.users import Role

LIMITS = "exposure_us_limits = [20, 1000]\ngain_limits = [0.5, 4]\n"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served, camera_threads(served):
        yield served


def adjust(page: Page, values: Any, why: str = "the lamp was replaced") -> Any:
    return page.visitor(Role.ADMIN).ask("POST", "/api/cameras/cam1/adjust", {"values": values, "why": why})


def told(page: Page) -> Any:
    return page.visitor().ask("GET", "/api/cameras").json["cameras"][0]


def test_a_change_is_in_force_at_once_told_and_kept_across_a_restart(page: Page, tmp_path: Path) -> None:
    assert told(page)["adjustable"] == {"exposure_us": [20, 1000], "gain": [0.5, 4]}
    assert adjust(page, {"exposure_us": 400, "gain": 2}).json == {"values": {"exposure_us": 400, "gain": 2}}
    now = told(page)
    assert (now["written"], now["now"]) == ({"exposure_us": 200, "gain": 1}, {"exposure_us": 400, "gain": 2})
    assert (now["adjustment"]["who"], now["adjustment"]["why"]) == ("admin", "the lamp was replaced")
    (held,) = page.conditions.reasons()
    assert (held.code, held.subject) == (ErrorCode.CAMERA_ADJUSTED, "cam1")
    assert held.why.startswith("exposure_us = 400, gain = 2, by admin at ")
    assert page.conditions.state is StationState.READY, "parts are judged as before"
    change = page.kept()[-1]
    assert (change.who, change.what, change.subject) == ("page:admin", "camera", "cam1")
    assert (change.before, change.after) == ("exposure_us = 200, gain = 1", "exposure_us = 400, gain = 2")
    station, conditions = load_station(tmp_path / "station.toml"), Conditions()
    assert station.adjustments["cam1"].values == {"exposure_us": 400, "gain": 2}
    for camera in _cameras(station, conditions):
        camera._obey()
    assert [(each.code, each.subject) for each in conditions.reasons()] == [(ErrorCode.CAMERA_ADJUSTED, "cam1")]


def test_the_values_of_the_station_file_end_it(page: Page, tmp_path: Path) -> None:
    adjust(page, {"exposure_us": 400})
    assert adjust(page, None).json == {"values": {"exposure_us": 200, "gain": 1}}
    assert told(page)["adjustment"] is None
    assert page.conditions.reasons() == []
    assert load_station(tmp_path / "station.toml").adjustments == {}
    assert adjust(page, {"exposure_us": 200}).status == 200
    assert told(page)["adjustment"] is None, "the same value is no difference"


def test_who_edits_the_station_file_wins(page: Page, tmp_path: Path) -> None:
    adjust(page, {"gain": 3})
    path = tmp_path / "station.toml"
    path.write_text(path.read_text().replace("lane = 0,", "lane = 0, gain = 1.5,"))
    assert load_station(path).adjustments == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"cam1": 1}',
        '{"cam1": {"adjustment": {"values": {"gain": 99}, "who": "", "why": "", "utc": ""}}}',
    ],
)
def test_a_damaged_file_leaves_the_station_file_in_force(tmp_path: Path, content: str) -> None:
    path = station_files(tmp_path)
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / "camera-adjustments.json").write_text(content)
    assert load_station(path).adjustments == {}


@pytest.mark.parametrize(
    ("values", "why", "status", "words"),
    [
        ({"exposure_us": 5000}, "x", 400, "exposure_us: must be between 20 and 1000"),
        ({"exposure_us": True}, "x", 400, "must be between"),
        ({"exposure_us": 20.5}, "x", 400, "exposure_us: "),
        ({"exposure_us": float("nan")}, "x", 400, "must be between"),
        ({"line": "/etc/passwd"}, "x", 400, "only these can be changed: exposure_us, gain"),
        ({}, "x", 400, "only these can be changed"),
        ([], "x", 400, "only these can be changed"),
        ({"gain": 2}, " ", 400, "why: "),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(page: Page, values: Any, why: str, status: int, words: str) -> None:
    answer = adjust(page, values, why)
    assert answer.status == status
    assert words in answer.json["error"]
    assert told(page)["adjustment"] is None


def test_a_camera_that_is_not_there_is_not_found(page: Page) -> None:
    answer = page.visitor(Role.ADMIN).ask("POST", "/api/cameras/cam9/adjust", {"values": {"gain": 2}, "why": "x"})
    assert answer.status == 404


def test_what_the_camera_refuses_changes_nothing(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DeviceError("cam1: Gain = 2 was refused: the camera has 1")

    monkeypatch.setattr(SimulatedCamera, "adjust", refuse)
    answer = adjust(page, {"gain": 2})
    assert (answer.status, answer.json["error"]) == (409, "cam1: Gain = 2 was refused: the camera has 1")
    assert told(page)["adjustment"] is None
    assert page.conditions.reasons() == []


def test_each_change_is_an_event_of_its_own(page: Page) -> None:
    for gain in (2, 3):
        adjust(page, {"gain": gain}, f"step {gain}")
    events: list[Any] = []
    while len(events) < 2:  # the logbook's thread writes them
        events = page.visitor().ask("GET", "/api/events?code=camera_adjusted").json["events"]
    assert [event["why"].rpartition(": ")[2] for event in events] == ["step 3", "step 2"]
    assert [event["ended"] is None for event in events] == [True, False]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("exposure_us_limits = [300, 20]\n", "cameras.0.exposure_us_limits ('cam1'): the first value is the lowest"),
        ("exposure_us_limits = [300, 1000]\n", "settings.exposure_us is 200: it must be within"),
    ],
)
def test_limits_that_the_file_itself_does_not_keep_are_a_fault(tmp_path: Path, limits: str, words: str) -> None:
    path = station_files(tmp_path)
    path.write_text(path.read_text().replace(LIMITS, limits, 1))
    with pytest.raises(ConfigError) as raised:
        load_station(path)
    assert words in str(raised.value)


def test_a_driver_that_cannot_change_it_is_a_fault(tmp_path: Path) -> None:
    file = load_station(station_files(tmp_path)).file
    settings = (FolderCamera.Settings(path=tmp_path), OpenCvCamera.Settings(source="/dev/video0", gain=1))
    assert [(fault.where, fault.what[:45]) for fault in adjustment_faults(file, settings)] == [
        ("cameras.0.exposure_us_limits", "the driver simulated cannot change it while i"),
        ("cameras.0.gain_limits", "the driver simulated cannot change it while i"),
        ("cameras.1.exposure_us_limits", "set cameras.1.settings.exposure_us too: it is"),
    ]
    with pytest.raises(DeviceError, match="cam: its driver cannot change this while it runs"):
        FolderCamera("cam", settings[0]).adjust(settings[0])


def test_more_exposure_and_gain_make_lighter_pictures(tmp_path: Path) -> None:
    settings = load_station(station_files(tmp_path)).camera_settings[0]
    assert isinstance(settings, SimulatedCamera.Settings)
    camera, picture = SimulatedCamera("cam1", settings), np.full((2, 2, 3), 60, np.uint8)
    assert camera._lit(picture) is picture
    camera.adjust(settings.model_copy(update={"exposure_us": 400, "gain": 1.5}))
    assert camera._lit(picture).max() == 180


def test_around_a_change_of_the_exposure_its_middle_is_in_doubt() -> None:
    exposure = Exposure(200_000)
    exposure.change(300_000, 5_000_000_000)
    assert (exposure.ns, exposure.doubt_ns(5_500_000_000), exposure.doubt_ns(6_000_000_000)) == (300_000, 50_000, 0)


def test_the_kept_file_is_json_that_names_who_and_why(page: Page, tmp_path: Path) -> None:
    adjust(page, {"gain": 2})
    kept = json.loads((tmp_path / "state" / "camera-adjustments.json").read_bytes())
    assert kept["cam1"]["base"] == {"exposure_us": 200, "gain": 1}
    assert kept["cam1"]["adjustment"]["why"] == "the lamp was replaced"
