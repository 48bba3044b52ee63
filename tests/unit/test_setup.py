"""Products that need another exposure or light: when a camera is told, and which pictures fit which recipe."""

from collections.abc import Mapping

import numpy as np
import pytest

from edge_inspector.cameras.features import Step, apply
from edge_inspector.cameras.opencv import OpenCvCamera
from edge_inspector.cameras.v4l2_controls import V4l2Controls
from edge_inspector.codes import Reason
from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, ModelInfo, OpenPart, Part, Scene
from edge_inspector.settings import checked
from edge_inspector.watches.setup import CameraSetup

FEATURES = {1: {"ExposureTime": 100.0}, 2: {"ExposureTime": 300.0}, 3: {"ExposureTime": 100.0}}


def criteria(number: int, **more: object) -> Criteria:
    table = {
        "id": number,
        "name": "tile",
        "model": "tile-1",
        "views": ["top"],
        "part_length_mm": 100,
        "min_pitch_mm": 120,
        "position_tolerance_mm": 5,
        "features": {"top": FEATURES[number]},
        **more,
    }
    return Criteria(Recipe.model_validate(table), {"crack": ClassLimits(min_area_mm2=1)})


class Line:
    def __init__(self) -> None:
        self.in_force = 1
        self.parts: list[OpenPart] = []
        self.setup = CameraSetup(
            "top",
            ["top"],
            {number: criteria(number) for number in FEATURES},
            in_force=lambda: self.in_force,
            scene=lambda: Scene(tuple(self.parts), ()),
        )

    def part(self, recipe_id: int, *seen: str) -> None:
        part = Part(part_seq=1, plc_boot_id=7, epoch=1, trigger_count=100, due_count=900, recipe_id=recipe_id)
        self.parts.append(OpenPart(part, seen))

    def adjust(self) -> Mapping[str, object]:
        self.setup.now = self.setup.wanted
        return self.setup.now


def test_a_camera_keeps_its_features_until_the_last_part_that_needs_them_was_before_it() -> None:
    line = Line()
    assert line.adjust() == {"ExposureTime": 100.0}
    assert line.setup.fits == {1, 3}
    line.part(1)
    line.in_force = 2
    assert line.adjust() == {"ExposureTime": 100.0}
    assert line.setup.recipe_id == 1, "the limits of its pictures are still those of the old product"
    line.parts.clear()
    line.part(1, "top")
    line.part(2)
    assert line.adjust() == {"ExposureTime": 300.0}
    assert (line.setup.fits, line.setup.recipe_id) == ({2}, 2)


def test_recipes_with_the_same_features_change_nothing_at_the_camera() -> None:
    line = Line()
    before = line.adjust()
    line.in_force = 3
    assert line.setup.wanted == before
    assert line.setup.recipe_id == 3


def test_nobody_knows_what_fits_until_the_camera_was_told() -> None:
    line = Line()
    assert (line.setup.fits, line.setup.recipe_id) == (frozenset(), 1)


def test_a_picture_that_does_not_fit_is_not_judged_by_that_recipe() -> None:
    model = ModelInfo("t", "1", "", ("crack",), height=8, width=8, channels=1, stride=1, precision="", provider="")
    look = Look(lambda: [criteria(1), criteria(2)], model, {"top": 1.0}, {"top": 1.0})
    image = np.zeros((8, 8), np.uint8)
    taken = Frame("top", 1, 0, 0, received_ns=0, image=image, fits=frozenset({1, 3}))
    view = look(taken, np.full((1, 8, 8), 200, np.uint8), begun_ns=1, inference_ns=1)
    assert (view.by(1).failure, view.by(2).failure) == (Reason.NONE, Reason.CHANGING)
    assert (len(view.by(1).defects), view.by(2).defects) == (1, ())


def test_features_are_in_the_recipe_s_hash_only_if_there_are_any() -> None:
    assert criteria(1).recipe.fingerprint != criteria(2).recipe.fingerprint
    assert (
        criteria(1, features={}).recipe.fingerprint
        == Recipe.model_validate(criteria(1).recipe.model_dump(exclude={"features"})).fingerprint
    )


CONTROLS = {
    0x00980900: (1, b"Brightness"),
    0x00980918: (3, b"Power Line Frequency"),
    0x009A090A: (1, b"Focus, Absolute"),
}
BUTTON = {0x009A0910: (4, b"Reset")}


class Device:
    """The kernel's side of V4L2's controls, as videodev2.h describes it."""

    def __init__(self) -> None:
        self.values = dict.fromkeys(CONTROLS, 0)
        self.most = 255

    def ask(self, request: int, data: bytes) -> bytes:
        numbers = CONTROLS | BUTTON
        if request == 0xC0445624:
            assert len(data) == 68
            asked = int.from_bytes(data[:4], "little")
            assert asked & 0x80000000
            after = [number for number in sorted(numbers) if number > asked & ~0x80000000]
            if not after:
                raise OSError(22, "Invalid argument")
            kind, name = numbers[after[0]]
            words = (after[0], kind)
            return b"".join(each.to_bytes(4, "little") for each in words) + name.ljust(32, b"\0") + bytes(28)
        number, value = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:], "little", signed=True)
        if request == 0xC008561C:
            if value > self.most:
                raise OSError(34, "Numerical result out of range")
            self.values[number] = value
        return data[:4] + self.values[number].to_bytes(4, "little", signed=True)


def test_controls_of_a_device_have_the_names_of_v4l2_ctl() -> None:
    assert V4l2Controls(Device().ask).names() == ["brightness", "focus_absolute", "power_line_frequency"]


def test_controls_are_set_and_read_back() -> None:
    device = Device()
    apply(V4l2Controls(device.ask), [Step("power_line_frequency", 1), Step("focus_absolute", 30)])
    assert device.values == {0x00980900: 0, 0x00980918: 1, 0x009A090A: 30}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("focus_absolut", 3, "the camera has no such feature"),
        ("brightness", 300, "Numerical result out of range"),
        ("brightness", 2**40, "was refused"),
    ],
)
def test_a_control_that_the_device_refuses_is_told(name: str, value: int, why: str) -> None:
    with pytest.raises(DeviceError, match=why):
        apply(V4l2Controls(Device().ask), [Step(name, value)])


def test_controls_are_for_devices() -> None:
    with pytest.raises(ConfigError, match="features are for devices"):
        checked(OpenCvCamera.Settings, {"source": "rtsp://x/y", "latency_ms": 1, "features": {"gain": 1}})
    chosen = OpenCvCamera.Settings(source="/dev/video0", features={"power_line_frequency": 1})
    assert chosen.takes_features
    camera = OpenCvCamera("top", chosen)
    with pytest.raises(DeviceError, match="not open"):
        camera.set_features({"focus_absolute": 1})
