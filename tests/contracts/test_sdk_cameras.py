"""What the drivers over makers' SDKs do beyond the contract: pylon's emulation, and the standard's own producer."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.cameras import pixels
from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import Frame

genicam = pytest.importorskip("genicam")
harvesters_core = pytest.importorskip("harvesters.core")
pytest.importorskip("pypylon")

from edge_inspector.cameras.basler import BaslerCamera  # noqa: E402 -- after what it needs
from edge_inspector.cameras.gentl import GentlCamera, _loaded  # noqa: E402

PRODUCER = Path(genicam.__file__).parent / "viky.cti"


class Made:
    def __init__(self) -> None:
        self.cameras: list[Camera] = []

    def basler(self, serial: str = "0815-0001", **changes: Any) -> Any:
        settings = {"serial": serial, "roi": (0, 0, 64, 48), "frame_rate": 100.0, "exposure_us": 200.0}
        return self._opened(BaslerCamera("cam", BaslerCamera.Settings(**(settings | changes))))

    def gentl(self, serial: str = "1", **changes: Any) -> Any:
        settings = {"producer": PRODUCER, "serial": serial, "frame_rate": 100.0}
        return self._opened(GentlCamera("cam", GentlCamera.Settings(**(settings | changes))))

    def _opened(self, camera: Any) -> Any:
        self.cameras.append(camera)
        camera.open()
        return camera


@pytest.fixture
def made() -> Iterator[Made]:
    made = Made()
    yield made
    for camera in made.cameras:
        camera.close()


def frames(camera: Camera, count: int) -> list[Frame]:
    taken: list[Frame] = []
    deadline = time.monotonic() + 5
    while len(taken) < count and time.monotonic() < deadline:
        frame = camera.grab(0.5)
        if frame is not None:
            taken.append(frame)
    return taken


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"gain": 1e6}, r"Gain = 1e\+06 was refused: Value .* must be smaller"),
        ({"trigger_source": "Line99"}, r"TriggerSource = Line99 was refused"),
        ({"features": {"Reverse": True}}, r"Reverse = True was refused: the camera has no such feature"),
        ({"features": {"Width": "wide"}}, r"Width = wide was refused"),
        ({"features": {"Width": 65.5}}, r"Width = 65.5 was refused: the camera has 65"),
    ],
)
def test_what_a_basler_camera_does_not_take_is_refused(made: Made, changes: dict[str, Any], refused: str) -> None:
    with pytest.raises(DeviceError, match=f"^cam: {refused}"):
        made.basler(**changes)


def test_a_basler_camera_that_is_not_there(made: Made) -> None:
    with pytest.raises(DeviceError, match="cam: No device is available"):
        made.basler("0000-0000")


def test_basler_settings_formats_and_trigger(made: Made) -> None:
    camera = made.basler(pixel_format="BayerRG8", gain=2.0, features={"TestImageSelector": "Testimage1"})
    (frame,) = frames(camera, 1)
    assert frame.image.shape == (48, 64, 3)
    assert frame.exposure_ns == 200_000
    camera.close()
    camera = made.basler(trigger_source="Software")
    assert camera.grab(0.05) is None
    camera._camera.TriggerSoftware.Execute()
    assert len(frames(camera, 1)) == 1


def test_a_damaged_basler_frame_is_incomplete_and_its_number_is_not_lost(made: Made) -> None:
    camera = made.basler()
    before = frames(camera, 1)[0].frame_id
    camera._camera.ForceFailedBufferCount.Value = 1
    camera._camera.ForceFailedBuffer.Execute()
    with pytest.raises(FrameIncompleteError, match="incompletely grabbed") as raised:
        frames(camera, 100)
    assert raised.value.frame_id > before
    assert frames(camera, 1)[0].frame_id > raised.value.frame_id


def test_a_basler_camera_that_stops_sending_is_lost(made: Made) -> None:
    camera = made.basler()
    frames(camera, 1)
    camera._camera.GetNodeMap().GetNode("AcquisitionStop").Execute()
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"cam: no frame for \d+ ms"):
        frames(camera, 1000)
    assert time.monotonic() - began < 3


def test_a_basler_camera_that_was_unplugged_is_lost_keeps_its_counters_and_comes_back(made: Made) -> None:
    camera = made.basler()
    before = frames(camera, 1)[0].frame_id
    counted = camera.counters()
    camera._camera.GetNodeMap().GetNode("FirePnPCallback").Execute()
    with pytest.raises(DeviceError, match="cam: the camera was removed"):
        frames(camera, 1000)
    assert camera.counters() == counted
    camera.close()
    camera.open()
    assert frames(camera, 1)[0].frame_id > before


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"serial": "77"}, "no camera has the serial number 77. Found: 0, 1, 2"),
        ({"producer": Path("gone.cti")}, "there is no producer gone.cti"),
        ({"gain": 1.0}, "Gain = 1 was refused: the camera has no such feature"),
        ({"pixel_format": "BayerRG8"}, "PixelFormat = BayerRG8 was refused"),
        ({"frame_rate": 1e6}, r"AcquisitionFrameRate = 1e\+06 was refused: Value .* must be smaller"),
        ({"features": {"Width": "wide"}}, "Width = wide was refused"),
    ],
)
def test_what_a_producer_does_not_take_is_refused(made: Made, changes: dict[str, Any], refused: str) -> None:
    with pytest.raises(DeviceError, match=f"^cam: {refused}"):
        made.gentl(**changes)
    assert not _loaded


def test_a_producer_s_damaged_frames_are_incomplete_one_by_one(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = made.gentl()
    before = frames(camera, 1)[0].frame_id
    complete = iter([False] * 3)
    monkeypatch.setattr(genicam.gentl.Buffer, "is_complete", lambda _buffer: next(complete, True))
    for number in range(1, 4):
        began_ns = time.monotonic_ns()
        with pytest.raises(FrameIncompleteError, match="data missing") as raised:
            frames(camera, 1)
        assert raised.value.frame_id == before + number
        assert began_ns < raised.value.captured_ns < time.monotonic_ns() < began_ns + 500_000_000
    assert frames(camera, 1)[0].frame_id > raised.value.frame_id


CLOCK = {"GevTimestampTickFrequency": "Height", "ChunkNrBounces": "Width"}


class Clocked:
    """The producer's features, two of them by the names of a clock's, which it does not have."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def has_node(self, name: str) -> bool:
        return bool(self._nodes.has_node(CLOCK.get(name, name)))

    def get_node(self, name: str) -> Any:
        return self._nodes.get_node(CLOCK.get(name, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nodes, name)


def test_a_producer_s_stamp_in_a_chunk_is_in_the_camera_s_ticks(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = property(lambda device: Clocked(device._node_map))
    monkeypatch.setattr(harvesters_core.RemoteDevice, "node_map", nodes)
    camera = made.gentl(chunk_timestamp="NrBounces", features={"Width": 320, "Height": 400})
    frames(camera, 1)
    assert camera._clock._newest_ns == 800_000_000


def test_cameras_of_one_producer_share_it(made: Made) -> None:
    one, other = made.gentl("0"), made.gentl("2")
    assert frames(one, 2)
    assert frames(other, 2)
    one.close()
    assert frames(other, 2)
    other.close()
    assert not _loaded


def test_looking_for_a_camera_that_is_absent_leaves_its_producer_s_others_alone(made: Made) -> None:
    one = made.gentl("0")
    before = frames(one, 1)[0].frame_id
    with pytest.raises(DeviceError, match=r"no camera has the serial number 77\. Found: 0, 1, 2"):
        made.gentl("77")
    assert frames(one, 1)[0].frame_id > before


def test_a_camera_is_found_that_was_powered_after_its_producer_s_others(made: Made) -> None:
    one = made.gentl("0")
    listed = _loaded[PRODUCER][0].device_info_list
    listed[:] = [each for each in listed if each.serial_number == "0"]
    assert frames(made.gentl("1"), 1)
    assert frames(one, 1)


def test_a_producer_s_format_that_is_not_known(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(pixels._CONVERTED, 0x02200016)
    camera = made.gentl(features={"PixelFormat": "RGBa8"})
    with pytest.raises(DeviceError, match="cam: pixel format 0x02200016 is not supported"):
        frames(camera, 1)


def test_exposure_is_changed_while_a_basler_camera_runs_and_what_it_refuses_changes_nothing(made: Made) -> None:
    camera = made.basler()
    assert frames(camera, 1)[0].exposure_ns == 200_000
    camera.adjust(camera._settings.model_copy(update={"exposure_us": 400.0}))
    assert {frame.exposure_ns for frame in frames(camera, 3)} == {400_000}
    with pytest.raises(DeviceError, match="cam: Gain"):
        camera.adjust(camera._settings.model_copy(update={"exposure_us": 300.0, "gain": 1e6}))
    assert {frame.exposure_ns for frame in frames(camera, 3)} == {400_000}
