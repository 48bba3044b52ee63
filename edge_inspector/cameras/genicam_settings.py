"""The settings that GenICam cameras have in common, and the features that they come down to."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from edge_inspector.cameras.features import Features, Step, first_of
from edge_inspector.cameras.pixels import Demosaic, PixelFormat
from edge_inspector.drivers import DriverSettings

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
    """What is absent stays as the camera has it; without `trigger_source` it runs freely.

    `roi` is x, y, width, height. Chunks are named as in the camera's ChunkSelector (their features with Chunk before
    it); `chunk_encoder` is the 32-bit counter that makes a frame's position exact. `stamp_delay_us`: how long after
    the start of the exposure the camera stamps. `stamp_error_us`: by how much that instant may be wrong on this
    machine's clock; if not said otherwise, what reading the camera's clock cannot tell, or, for a clock that is known
    by arrivals alone, the time that a frame takes over 1 Gbit/s. `ptp` lets the camera follow the network's clock.
    `line_trigger_source` makes a line-scan camera take a row at every `line_trigger_divider`th pulse of that source;
    the frame is as many rows as `roi` is high. `features` are set last, in their order; true executes a command.
    """

    user_set: Text | None = None
    pixel_format: PixelFormat = "Mono8"
    demosaic: Demosaic = "bilinear"
    roi: tuple[Whole, Whole, Count, Count] | None = None
    binning: Count | None = None
    frame_rate: Annotated[float, Field(gt=0)] | None = None
    exposure_us: Annotated[float, Field(gt=0)] | None = None
    gain: Amount | None = None
    black_level: float | None = None
    trigger_source: Text | None = None
    trigger_selector: Text = "FrameStart"
    trigger_activation: Text | None = None
    trigger_delay_us: Amount | None = None
    trigger_divider: Count | None = None
    line_trigger_source: Text | None = None
    line_trigger_divider: Count | None = None
    chunk_timestamp: Text | None = None
    chunk_frame_id: Text | None = None
    chunk_encoder: Text | None = None
    stamp_delay_us: float = 0.0
    stamp_error_us: Amount | None = None
    ptp: bool | None = None
    buffers: Annotated[int, Field(ge=2, le=1000)] = 16
    features: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @property
    def free_running_hz(self) -> float | None:
        """`frame_rate`, unless something triggers the camera; `features` may switch a trigger on, too."""
        triggered = self.trigger_source or self.line_trigger_source or "TriggerMode" in self.features
        return None if triggered else self.frame_rate


class GenicamSettings(FeatureSettings):
    """`address` of GigE cameras (safest), or `serial`.

    `packet_socket`: receive past the UDP stack where the process may (CAP_NET_RAW). `frame_retention_ms`: how long a
    frame may pause on its way before it counts as incomplete.
    """

    address: Text | None = None
    serial: Text | None = None
    packet_size: Annotated[int, Field(ge=256, le=65000)] | None = None
    packet_delay_ns: Whole | None = None
    packet_socket: bool = True
    frame_retention_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.address is None) == (self.serial is None):
            raise ValueError("say either address or serial")
        return self

    @property
    def device(self) -> str | None:
        """A GenICam camera has room for one controlling program."""
        return self.address or self.serial


def exposure_ns(device: Features) -> int:
    """The exposure time that is set; 0 where the camera does not tell."""
    feature = first_of(device, _EXPOSURE)
    return int(float(device.read(feature)) * 1000) if feature else 0


def patience_ns(device: Features, chosen: FeatureSettings) -> int | None:
    """How long without a frame means lost; None where a trigger may come at any time or never."""
    rate = first_of(device, _RATE)
    if chosen.trigger_source is not None or chosen.line_trigger_source is not None or rate is None:
        return None
    return max(_SILENT_AT_LEAST_NS, int(3e9 / float(device.read(rate))))


def ticks_per_s(device: Features) -> int:
    """How fast the camera's clock counts: in nanoseconds where it does not tell."""
    feature = "GevTimestampTickFrequency"
    return int(device.read(feature)) if device.has(feature) else 1_000_000_000


def steps_of(chosen: FeatureSettings) -> list[Step]:
    """What is to be set, in an order that cameras accept.

    Formats decide on sizes, auto functions block values, a trigger that is on keeps its source, and rate and exposure
    bound each other.
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
    if chosen.exposure_us is not None:
        steps += [Step("ExposureAuto", "Off", optional=True), Step(_EXPOSURE, chosen.exposure_us)]
    if chosen.frame_rate is not None:
        steps += [Step(_RATE_ENABLE, value=True, optional=True), Step(_RATE, chosen.frame_rate)]
    if chosen.gain is not None:
        steps += [Step("GainAuto", "Off", optional=True), Step(_GAIN, chosen.gain)]
    if chosen.black_level is not None:
        steps.append(Step(_BLACK_LEVEL, chosen.black_level))
    if chosen.ptp is not None:
        steps.append(Step(_PTP, chosen.ptp))
    return [*steps, *_line_steps(chosen), *_trigger_steps(chosen), *_chunk_steps(chosen), *_free_steps(chosen)]


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
