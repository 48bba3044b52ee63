"""The seams of the station: what a driver must be, and where the drivers are.

A driver blocks with a timeout, returns data or raises `DeviceError`. Threads, retries, queues and metrics belong to
the stages. A driver module is imported only when a configuration names it. Each driver class has a nested pydantic
model `Settings` (frozen, extra keys forbidden, units in the names): its table in the station file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from edge_inspector.records import (
    CameraCounters,
    Command,
    EncoderSample,
    ErrorCode,
    Frame,
    Image,
    ModelInfo,
    PlcInput,
    StationStatus,
    Verdict,
)


class DriverSettings(BaseModel):
    """The base of every driver's `Settings`.

    Write one line of docstring below each field. It becomes the field's description in the JSON Schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @property
    def device(self) -> str | None:
        """The device that only one driver may open at a time: a path or an address. None if sharing is harmless."""
        return None

    @property
    def free_running_hz(self) -> float | None:
        """Pictures per second of a camera that runs freely. None if it is triggered or the rate is not set."""
        return None

    @property
    def cautions(self) -> Sequence[str]:
        """Warnings about settings that work but may be a mistake. `edge-inspector check` prints them."""
        return ()


class Camera(Protocol):
    """Pictures in. Constructed as `Camera(name, settings)`; one thread owns it from open to close.

    Drivers inherit from it, for what not every device has.
    """

    name: str

    @abstractmethod
    def open(self) -> None:
        """Connect and start. Called again after close. Raises DeviceError."""

    @abstractmethod
    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame in order, or None when none came within `timeout_s`.

        Raises FrameIncompleteError for a picture that must not be used, DeviceError when the camera is lost.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop and let go. Safe at any time, also twice."""

    def counters(self) -> CameraCounters:
        """The device's own statistics, zeros where it has none. At any time, at once, without an error."""
        return CameraCounters()


class Encoder(Protocol):
    """The belt's position in. Constructed as `Encoder(settings)`; one thread owns it."""

    @abstractmethod
    def open(self) -> None:
        """Connect. Called again after close. Raises DeviceError."""

    @abstractmethod
    def read(self) -> EncoderSample:
        """One sample, at once. Raises DeviceError (a timeout too: the connection is then void)."""

    @abstractmethod
    def close(self) -> None:
        """Let go. Safe at any time, also twice."""


class Segmenter(Protocol):
    """Pictures to masks. Constructed as `Segmenter(model_dir, settings)`; `info` is valid from construction on."""

    info: ModelInfo
    max_batch: int
    workers: int

    @abstractmethod
    def open(self) -> None:
        """Load, check and warm up. Raises ConfigError for a wrong or damaged model."""

    @abstractmethod
    def segment(self, images: Sequence[Image]) -> list[Image]:
        """One mask per image: (classes, H / stride, W / stride) uint8, 0..255 for probability 0..1.

        At most `max_batch` images, of any size (larger than the model's input: tiled and merged). May be called by
        `workers` threads at once. The masks belong to the caller. Raises InferenceError.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the session. Safe at any time, also twice."""


class PlcLink(Protocol):
    """Decisions out. Constructed as `PlcLink(settings, identity)`; one thread owns it from open to close."""

    connected: bool
    events: Mapping[str, int]
    """How often each thing that an operator should know of has happened, by a name fit for a metric's label."""
    troubles: Mapping[ErrorCode, str]
    """What is wrong now beside the connection, and why."""

    @property
    @abstractmethod
    def backlog(self) -> int:
        """How much of what was delivered the peer has not acknowledged yet."""

    @abstractmethod
    def open(self) -> None:
        """Connect, silent: nothing that could fire the gate is sent here. Raises DeviceError."""

    @abstractmethod
    def probe(self) -> str:
        """What the peer is and whether it could be served, in a few words; says nothing that it could act on.

        It tries all that the daemon will ask of the peer. Not between open and close. Raises DeviceError, and
        CautionError for what works and may not stay so.
        """

    @abstractmethod
    def look(self) -> PlcInput | None:
        """What the peer says, read without writing anything; None where it says nothing.

        Not between open and close. Raises DeviceError.
        """

    @abstractmethod
    def exchange(self, status: StationStatus) -> PlcInput | None:
        """Publish the status and the heartbeat; what the peer says, or None where it says nothing.

        Called at least once per heartbeat period. Raises DeviceError.
        """

    @abstractmethod
    def commands(self) -> Sequence[Command]:
        """What the peer has asked for since the last call, checked; none where it has no way to ask.

        Called after each exchange. A command's answer comes through its `reply`, from another thread.
        """

    @abstractmethod
    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        """What has happened since the last call that somebody must see to: each stays a condition until RESET.

        Called after each exchange.
        """

    @abstractmethod
    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """How many of these verdicts, from the first on, the peer now holds; fewer when it has no room.

        The same verdict may be delivered again after a failure: peers take it once. Raises DeviceError.
        """

    @abstractmethod
    def close(self) -> None:
        """Say "not ready" if the peer can still hear it, and let go. Safe at any time, also twice."""


CAMERAS = {
    "simulated": "edge_inspector.simulation.camera:SimulatedCamera",
    "folder": "edge_inspector.cameras.folder:FolderCamera",
    "opencv": "edge_inspector.cameras.opencv:OpenCvCamera",
    "genicam": "edge_inspector.cameras.genicam:GenicamCamera",
    "basler": "edge_inspector.cameras.basler:BaslerCamera",
    "gentl": "edge_inspector.cameras.gentl:GentlCamera",
}
ENCODERS = {
    "simulated": "edge_inspector.simulation.encoder:SimulatedEncoder",
    "s7": "edge_inspector.encoders.s7:S7Encoder",
    "modbus": "edge_inspector.encoders.modbus:ModbusEncoder",
}
SEGMENTERS = {
    "simulated": "edge_inspector.simulation.segmenter:SimulatedSegmenter",
    "onnx": "edge_inspector.segmenters.onnx:OnnxSegmenter",
    "openvino": "edge_inspector.segmenters.openvino:OpenVinoSegmenter",
    "two-stage": "edge_inspector.segmenters.two_stage:TwoStageSegmenter",
}
PLC_LINKS = {
    "s7": "edge_inspector.plcs.s7:S7Link",
    "modbus": "edge_inspector.plcs.modbus:ModbusLink",
    "mqtt": "edge_inspector.plcs.mqtt:MqttLink",
}
_BY_OPENCV = 'for USB cameras, network streams and video files write driver = "opencv"'
_BY_GENICAM = 'for GigE Vision and USB3 Vision cameras write driver = "genicam"'
_PROFILE = "for any other PLC let it serve Modbus TCP: docs/plc.md has the registers"
OTHER_WORDS: dict[str, dict[str, str]] = {
    "cameras": {
        **dict.fromkeys(("usb", "uvc", "v4l2", "webcam", "rtsp", "onvif", "ip", "mjpeg", "http", "video"), _BY_OPENCV),
        **dict.fromkeys(("gige", "gigevision", "gige-vision", "usb3", "u3v", "usb3-vision", "aravis"), _BY_GENICAM),
        **dict.fromkeys(("pylon", "pypylon"), 'for Basler\'s own driver write driver = "basler"'),
        **dict.fromkeys(("harvesters", "cti"), 'for a maker\'s GenTL producer write driver = "gentl"'),
        **dict.fromkeys(("file", "files", "images", "pictures", "png"), 'for pictures write driver = "folder"'),
    },
    "encoders": {
        **dict.fromkeys(("siemens", "snap7", "s7-1200", "s7-1500"), 'for Siemens write driver = "s7"'),
        **dict.fromkeys(("opcua", "opc-ua", "ethernetip", "ethernet-ip", "ads", "beckhoff", "allen-bradley"), _PROFILE),
        **dict.fromkeys(("time", "none"), "an encoder must be: without one nobody knows where a part is"),
    },
    "segmenters": {"tensorrt": 'TensorRT is a provider: write driver = "onnx"'},
    "plcs": {
        **dict.fromkeys(("siemens", "snap7", "s7-1200", "s7-1500"), 'for Siemens write driver = "s7"'),
        **dict.fromkeys(("opcua", "opc-ua", "ethernetip", "ethernet-ip", "ads", "beckhoff", "allen-bradley"), _PROFILE),
        **dict.fromkeys(("mosquitto", "broker"), 'for a broker write driver = "mqtt"'),
    },
}
"""By family: what people call a driver that has another name here, and what to write instead."""

FAMILIES = {"cameras": CAMERAS, "encoders": ENCODERS, "segmenters": SEGMENTERS, "plcs": PLC_LINKS}


def driver_names(family: str) -> list[str]:
    """The names a configuration may use in this family, third-party entry points included."""
    return sorted({*FAMILIES[family], *(point.name for point in entry_points(group=f"edge_inspector.{family}"))})


def load_driver(family: str, name: str) -> Any:
    """The driver class called `name`. Raises KeyError for an unknown name, ImportError for a missing SDK."""
    target = FAMILIES[family].get(name)
    if target is None:
        points = [point for point in entry_points(group=f"edge_inspector.{family}") if point.name == name]
        if not points:
            raise KeyError(name)
        return points[0].load()
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
