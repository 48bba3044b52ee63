"""The settings that all GenICam cameras share, and the camera features that they set."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from edge_inspector.cameras.features import Features, Step, apply, first_of
from edge_inspector.cameras.pixels import Demosaic, PixelFormat
from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import DeviceError

Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]

_SILENT_AT_LEAST_NS: Final = 500_000_000

# What different makes call the same thing.
_EXPOSURE: Final = ("ExposureTime", "ExposureTimeAbs")
_RATE: Final = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs")
_RATE_ENABLE: Final = "AcquisitionFrameRateEnable"
_GAIN: Final = ("Gain", "GainRaw", "GainAbs")
_BLACK_LEVEL: Final = ("BlackLevel", "BlackLevelRaw")
_PTP: Final = ("PtpEnable", "GevIEEE1588")
_LINE_DIVIDER: Final = ("TriggerDivider", "EncoderDivider")
_TRIGGER_DELAY: Final = ("TriggerDelay", "TriggerDelayAbs")


class FeatureSettings(DriverSettings):
    """A setting that is not set stays as the camera has it. Without `trigger_source` the camera runs freely."""

    user_set: Text | None = None
    """Settings stored in the camera that are loaded first, as `Default`."""
    pixel_format: PixelFormat = "Mono8"
    """Pixel format of the frames. Of formats with more than 8 bits the upper 8 are used."""
    demosaic: Demosaic = "bilinear"
    """How Bayer frames become colour pictures. Use the method with which the model's pictures were made."""
    roi: tuple[Whole, Whole, Count, Count] | None = None
    """Area of the sensor in pixels: x, y, width, height. The height of a line-scan frame is its number of rows."""
    binning: Count | None = None
    """Sensor pixels, in each direction, that are combined into one."""
    frame_rate: Annotated[float, Field(gt=0)] | None = None
    """Frames per second of a camera that runs freely."""
    exposure_us: Annotated[float, Field(gt=0)] | None = None
    """Exposure time. Setting it switches automatic exposure off. At 2 m/s, 100 us blur the picture by 0.2 mm."""
    gain: Amount | None = None
    """Gain in the camera's own unit. Setting it switches automatic gain off."""
    black_level: float | None = None
    """Black level in the camera's own unit."""
    trigger_source: Text | None = None
    """Input that triggers a frame, as `Line0`. Not set: the camera runs freely."""
    trigger_selector: Text = "FrameStart"
    """Kind of trigger that `trigger_source` drives. Change it if your camera has another name for it."""
    trigger_activation: Text | None = None
    """Edge or level of the signal that triggers, as `RisingEdge`."""
    trigger_delay_us: Amount | None = None
    """Delay from the trigger signal to the exposure."""
    trigger_divider: Count | None = None
    """Take a frame at every n-th trigger only."""
    line_trigger_source: Text | None = None
    """Input that triggers each row of a line-scan camera, as `Encoder0`."""
    line_trigger_divider: Count | None = None
    """Take a row at every n-th pulse of `line_trigger_source` only."""
    chunk_timestamp: Text | None = None
    """Chunk with the frame's timestamp, named as in the camera's ChunkSelector: without Chunk before it."""
    chunk_frame_id: Text | None = None
    """Chunk with the frame's number, named in the same way."""
    chunk_encoder: Text | None = None
    """Chunk with the 32-bit encoder count of the frame, named in the same way. It makes the position exact."""
    stamp_delay_us: float = 0.0
    """Time from the start of the exposure to the camera's timestamp. Set it if the camera stamps later."""
    stamp_error_us: Amount | None = None
    """How wrong the timestamp may be on this machine's clock, if you measured it. Default: docs/cameras.md."""
    ptp: bool | None = None
    """Let the camera synchronise its clock over the network with PTP."""
    buffers: Annotated[int, Field(ge=2, le=1000)] = 16
    """Frame buffers. Raise it if `camera_underruns` grows."""
    features: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """More GenICam features, set last and in this order. `true` executes a command."""

    @property
    def over_network(self) -> bool:
        """GigE Vision. What comes over USB instead is counted as if it did."""
        return True

    @property
    def adjustable(self) -> Collection[str]:
        """GenICam cameras change both between two pictures."""
        return ("exposure_us", "gain")

    @property
    def takes_features(self) -> bool:
        """Every GenICam camera has features."""
        return True

    @property
    def free_running_hz(self) -> float | None:
        """`frame_rate`, or None if the camera is triggered. `features` may switch a trigger on, too."""
        triggered = self.trigger_source or self.line_trigger_source or "TriggerMode" in self.features
        return None if triggered else self.frame_rate


class GenicamSettings(FeatureSettings):
    """Name the camera by either `address` or `serial`."""

    address: Text | None = None
    """IP address of a GigE camera. It is safer and faster than `serial`."""
    serial: Text | None = None
    """Serial number. Use it for USB cameras. A GigE camera is then searched by broadcast, which takes a second."""
    packet_size: Annotated[int, Field(ge=256, le=65000)] | None = None
    """Size of a network packet in bytes. The port's MTU must be larger. 8192 needs jumbo frames."""
    packet_delay_ns: Whole | None = None
    """Pause after each packet. Set it if several cameras share one port. Values: docs/cameras.md."""
    packet_socket: bool = True
    """Receive past the UDP stack if the process has CAP_NET_RAW. Fewer frames are lost on a busy machine."""
    frame_retention_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    """Longest pause within a frame before it counts as incomplete. Raise it for line-scan cameras on a slow belt."""

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.address is None) == (self.serial is None):
            raise ValueError("set either address or serial")
        return self

    @property
    def device(self) -> str | None:
        """The camera. Only one program can control a GenICam camera."""
        return self.address or self.serial


def exposure_ns(device: Features) -> int:
    """The camera's exposure time. 0 if the camera does not report it."""
    feature = first_of(device, _EXPOSURE)
    return int(float(device.read(feature)) * 1000) if feature else 0


def patience_ns(device: Features, chosen: FeatureSettings) -> int | None:
    """Time without a frame after which the camera counts as lost. None for a camera that is triggered."""
    rate = first_of(device, _RATE)
    if chosen.trigger_source is not None or chosen.line_trigger_source is not None or rate is None:
        return None
    return max(_SILENT_AT_LEAST_NS, int(3e9 / float(device.read(rate))))


def ticks_per_s(device: Features) -> int:
    """Ticks per second of the camera's clock. 1e9 if the camera does not report it."""
    feature = "GevTimestampTickFrequency"
    return int(device.read(feature)) if device.has(feature) else 1_000_000_000


def steps_of(chosen: FeatureSettings) -> list[Step]:
    """The features to set, in an order that cameras accept.

    The order matters: the pixel format limits sizes, an automatic function blocks its value, an active trigger keeps
    its source, and frame rate and exposure limit each other.
    """
    steps = []
    if chosen.user_set is not None:
        steps += [Step("UserSetSelector", chosen.user_set), Step("UserSetLoad", value=True)]
    steps += [Step("AcquisitionMode", "Continuous"), Step("PixelFormat", chosen.pixel_format)]
    if chosen.binning is not None:
        steps += [Step("BinningHorizontal", chosen.binning), Step("BinningVertical", chosen.binning)]
    if chosen.roi is not None:
        x, y, width, height = chosen.roi
        steps += [Step("OffsetX", 0), Step("OffsetY", 0), Step("Width", width), Step("Height", height)]
        steps += [Step("OffsetX", x), Step("OffsetY", y)]
    if chosen.frame_rate is not None and chosen.exposure_us is not None:
        steps.append(Step(_RATE_ENABLE, value=False, optional=True))
    steps += _exposure_steps(chosen)
    if chosen.frame_rate is not None:
        steps += [Step(_RATE_ENABLE, value=True, optional=True), Step(_RATE, chosen.frame_rate)]
    steps += _gain_steps(chosen)
    if chosen.black_level is not None:
        steps.append(Step(_BLACK_LEVEL, chosen.black_level))
    if chosen.ptp is not None:
        steps.append(Step(_PTP, chosen.ptp))
    return [*steps, *_line_steps(chosen), *_trigger_steps(chosen), *_chunk_steps(chosen), *_free_steps(chosen)]


def readjust(device: Features, before: FeatureSettings, now: FeatureSettings) -> None:
    """Set exposure and gain of a running camera. Raises DeviceError, and then they are as `before`."""
    try:
        apply(device, [*_exposure_steps(now), *_gain_steps(now)])
    except DeviceError:
        with suppress(DeviceError):
            apply(device, [*_exposure_steps(before), *_gain_steps(before)])
        raise


def _exposure_steps(chosen: FeatureSettings) -> list[Step]:
    if chosen.exposure_us is None:
        return []
    return [Step("ExposureAuto", "Off", optional=True), Step(_EXPOSURE, chosen.exposure_us)]


def _gain_steps(chosen: FeatureSettings) -> list[Step]:
    return [] if chosen.gain is None else [Step("GainAuto", "Off", optional=True), Step(_GAIN, chosen.gain)]


def _line_steps(chosen: FeatureSettings) -> list[Step]:
    if chosen.line_trigger_source is None:
        return []
    steps = [Step("TriggerSelector", "LineStart"), Step("TriggerMode", "Off")]
    steps.append(Step("TriggerSource", chosen.line_trigger_source))
    if chosen.line_trigger_divider is not None:
        steps.append(Step(_LINE_DIVIDER, chosen.line_trigger_divider))
    return [*steps, Step("TriggerMode", "On")]


def _trigger_steps(chosen: FeatureSettings) -> list[Step]:
    runs_freely = chosen.trigger_source is None
    steps = [
        Step("TriggerSelector", chosen.trigger_selector, optional=runs_freely),
        Step("TriggerMode", "Off", optional=runs_freely),
    ]
    if chosen.trigger_source is None:
        return steps
    steps.append(Step("TriggerSource", chosen.trigger_source))
    if chosen.trigger_activation is not None:
        steps.append(Step("TriggerActivation", chosen.trigger_activation))
    if chosen.trigger_delay_us is not None:
        steps.append(Step(_TRIGGER_DELAY, chosen.trigger_delay_us))
    if chosen.trigger_divider is not None:
        steps.append(Step("TriggerDivider", chosen.trigger_divider))
    return [*steps, Step("TriggerMode", "On")]


def _chunk_steps(chosen: FeatureSettings) -> list[Step]:
    names = [name for name in (chosen.chunk_timestamp, chosen.chunk_frame_id, chosen.chunk_encoder) if name]
    if not names:
        return [Step("ChunkModeActive", value=False, optional=True)]
    steps = [Step("ChunkModeActive", value=True)]
    for name in names:
        steps += [Step("ChunkSelector", name), Step("ChunkEnable", value=True)]
    return steps


def _free_steps(chosen: FeatureSettings) -> list[Step]:
    return [Step(name, value) for name, value in chosen.features.items()]
