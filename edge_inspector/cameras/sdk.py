"""What drivers over a maker's SDK share: features over GenApi, the camera's clock, and one way to a frame."""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from edge_inspector.cameras.border import fails_as_device
from edge_inspector.cameras.clock import (
    DeviceClock,
    Exposure,
    arrival_error_ns,
    exposure_error_ns,
    middle_of_exposure,
)
from edge_inspector.cameras.features import Features, Step, Thermometer, Value, apply
from edge_inspector.cameras.frame_ids import FrameIds
from edge_inspector.cameras.genicam_settings import (
    FeatureSettings,
    exposure_ns,
    patience_ns,
    readjust,
    steps_of,
    ticks_per_s,
)
from edge_inspector.drivers import Camera, FeatureValue
from edge_inspector.errors import DeviceError
from edge_inspector.records import Frame, Image

_PLACE = re.compile(r" : \w+ thrown in .*")  # in an SDK's source code


@dataclass(frozen=True, slots=True, kw_only=True)
class GenApi:
    """How one SDK spells the standard's GenApi. `failures` are the errors that it raises."""

    failures: tuple[type[Exception], ...]
    command: type
    integer: type
    node: Callable[[Any, str], Any]
    available: Callable[[Any, str], bool]
    value: str
    execute: str


class SdkFeatures(Features):
    """The features of an SDK's node map by name."""

    def __init__(self, api: GenApi, nodes: Any) -> None:
        self._api = api
        self._nodes = nodes

    def has(self, feature: str) -> bool:
        """Whether the camera offers the feature now."""
        try:
            return self._api.available(self._nodes, feature)
        except self._api.failures:
            return False

    def read(self, feature: str) -> Value:
        """The value of a feature in its own type. Raises DeviceError."""
        try:
            found: Value = getattr(self._api.node(self._nodes, feature), self._api.value)
        except self._api.failures as error:
            raise DeviceError(_without_place(error)) from error
        return found

    def write(self, feature: str, value: Value) -> bool:
        """Set a feature, or execute it if it is a command. Raises DeviceError."""
        api = self._api
        failures: tuple[type[Exception], ...] = (*api.failures, TypeError, ValueError)
        try:
            node = api.node(self._nodes, feature)
            if isinstance(node, api.command):
                getattr(node, api.execute)()
                return False
            setattr(node, api.value, int(value) if isinstance(node, api.integer) else value)
        except failures as error:
            raise DeviceError(_without_place(error)) from error
        return True


class SdkCamera(Camera):
    """A camera behind an SDK. Its clock is estimated from the arrival of frames."""

    def __init__(self, name: str, settings: FeatureSettings, api: GenApi) -> None:
        self.name = name
        self._chosen = settings
        self._api = api
        self._ids = FrameIds()
        self._clock = DeviceClock()
        self._thermometer: Thermometer | None = None
        self._ticks_per_s = 1_000_000_000
        self._exposure = Exposure()
        self._features: SdkFeatures | None = None
        self._silent_ns: int | None = None
        self._heard_ns = 0

    @fails_as_device
    def open(self) -> None:
        """Connect, set everything and read it back, start. Frame numbers go on from an earlier open."""
        self.close()
        try:
            with self._named(OSError, ValueError):
                self._connect()
        except DeviceError:
            self.close()
            raise
        self._heard_ns = time.monotonic_ns()

    @fails_as_device
    def adjust(self, settings: Any) -> None:
        """Change exposure and gain between two pictures."""
        features = self._features
        if features is not None:
            with self._named():
                readjust(features, self._chosen, settings)
                self._exposure.change(exposure_ns(features), time.monotonic_ns())
        self._chosen = settings

    @fails_as_device
    def set_features(self, features: Mapping[str, FeatureValue]) -> None:
        """Set features between two frames."""
        if self._features is None:
            raise DeviceError(f"{self.name}: not open")
        with self._named():
            apply(self._features, [Step(feature, value) for feature, value in features.items()])
            self._exposure.change(exposure_ns(self._features), time.monotonic_ns())

    @abstractmethod
    def _connect(self) -> None:
        """Connect, call `_set_up`, and start. It may raise the SDK's errors."""

    @contextmanager
    def _named(self, *more: type[Exception]) -> Iterator[None]:
        """Errors of the SDK, and `more`, become a DeviceError with the camera's name."""
        failures: tuple[type[Exception], ...] = (DeviceError, *self._api.failures, *more)
        try:
            yield
        except failures as error:
            raise DeviceError(f"{self.name}: {_without_place(error)}") from error

    def _set_up(self, nodes: Any) -> None:
        """Set the features, and begin with a new clock."""
        features = SdkFeatures(self._api, nodes)
        apply(features, steps_of(self._chosen))
        self._features, self._exposure = features, Exposure(exposure_ns(features))
        self._silent_ns = patience_ns(features, self._chosen)
        self._ticks_per_s = ticks_per_s(features)
        self._thermometer = Thermometer(features)
        self._clock = DeviceClock()
        self._ids.begin()

    def _end(self, *steps: Callable[[], object]) -> None:
        """Take these steps. Whatever error a lost camera causes in one, the others follow."""
        self._features = None
        for step in steps:
            with suppress(*self._api.failures):
                step()

    @property
    def _celsius(self) -> float | None:
        return self._thermometer.celsius if self._thermometer is not None else None

    def _watch(self, now_ns: int) -> None:
        if self._silent_ns is not None and now_ns - self._heard_ns > self._silent_ns:
            raise DeviceError(f"{self.name}: no frame for {(now_ns - self._heard_ns) / 1e6:.0f} ms")

    def _chunks(self, nodes: Callable[[], Any], frame_id: int, stamp_ns: int) -> tuple[int, int, int | None]:
        """Frame id, timestamp and encoder count. Those that are not in a configured chunk stay as they are."""
        chosen, count = self._chosen, None
        if chosen.chunk_frame_id is not None:
            frame_id = self._chunk(nodes, chosen.chunk_frame_id)
        if chosen.chunk_timestamp is not None:
            # This one is as the camera sent it, in its own ticks.
            stamp_ns = self._to_ns(self._chunk(nodes, chosen.chunk_timestamp))
        if chosen.chunk_encoder is not None:
            count = self._chunk(nodes, chosen.chunk_encoder)
        return frame_id, stamp_ns, count

    def _chunk(self, nodes: Callable[[], Any], name: str) -> int:
        return int(SdkFeatures(self._api, nodes()).read(f"Chunk{name}"))

    def _to_ns(self, ticks: int) -> int:
        return ticks * 1_000_000_000 // self._ticks_per_s

    def _frame(self, image: Image, size: int, told: tuple[int, int, int | None], now_ns: int) -> Frame:
        """The frame of an image that arrived now in `size` bytes. `told` is what `_chunks` returned."""
        frame_id, stamp_ns, count = told
        doubt_ns = self._exposure.doubt_ns(now_ns)
        if stamp_ns and not doubt_ns:
            self._clock.add(stamp_ns + self._exposure.ns, now_ns, error_ns=arrival_error_ns(size))
        if self._thermometer is not None:
            self._thermometer.look(now_ns)
        return Frame(
            self.name,
            self._ids.next(frame_id),
            captured_ns=self._captured_ns(stamp_ns, now_ns),
            exposure_ns=self._exposure.ns,
            received_ns=time.monotonic_ns(),
            image=image,
            encoder_count=count,
            captured_error_ns=exposure_error_ns(self._clock, stamp_ns, size, self._chosen.stamp_error_us) + doubt_ns,
        )

    def _captured_ns(self, stamp_ns: int, now_ns: int) -> int:
        return middle_of_exposure(
            self._clock,
            stamp_ns,
            exposure_ns=self._exposure.ns,
            stamp_delay_us=self._chosen.stamp_delay_us,
            now_ns=now_ns,
        )


def _without_place(error: Exception) -> str:
    """The message of an SDK's error, without the place in its source code."""
    return _PLACE.sub("", str(error))
