"""Exposure and gain that are changed while the camera runs: asked for by the page, done by the camera's own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_inspector.codes import ErrorCode
from edge_inspector.drivers import Camera, DriverSettings, FeatureValue
from edge_inspector.errors import DeviceError
from edge_inspector.records import CameraCounters, Frame
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.station.adjustments import Adjustment


@dataclass(frozen=True, slots=True)
class CameraOrder:
    """Settings for a camera. `adjustment` is None for those of the station file.

    `done` is called once, in the camera's thread, with the error if the camera did not take them.
    """

    settings: DriverSettings
    adjustment: Adjustment | None
    done: Callable[[DeviceError | None], None]


class AdjustableCamera(Camera):
    """A camera whose exposure and gain may be changed. Its thread does it, before it opens it and between two pictures.

    `now` is what differs from the station file, and the station tells of it as long as it differs. A camera that was
    changed before a restart begins with the order `first`. Any thread may read `now` and `ask`.
    """

    def __init__(self, camera: Camera, conditions: Conditions, first: CameraOrder | None = None) -> None:
        self.name = camera.name
        self.now: Adjustment | None = None
        self._camera = camera
        self._conditions = conditions
        self._lock = threading.Lock()
        self._order = first

    def ask(self, order: CameraOrder) -> bool:
        """Whether the camera's thread will do it. Not if it has another order."""
        with self._lock:
            free = self._order is None
            if free:
                self._order = order
            return free

    def open(self) -> None:
        """Connect and start, with the values that were asked for."""
        self._obey()
        self._camera.open()

    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame."""
        self._obey()
        return self._camera.grab(timeout_s)

    def close(self) -> None:
        """Stop and disconnect."""
        self._camera.close()

    def set_features(self, features: Mapping[str, FeatureValue]) -> None:
        """Set features between two pictures."""
        self._camera.set_features(features)

    def counters(self) -> CameraCounters:
        """The device's own statistics."""
        return self._camera.counters()

    def _obey(self) -> None:
        order = self._order
        if order is None:
            return
        try:
            self._camera.adjust(order.settings)
        except DeviceError as error:
            order.done(error)
        else:
            self._follow(order.adjustment)
            order.done(None)
        self._order = None

    def _follow(self, adjustment: Adjustment | None) -> None:
        """Each change is an event of its own, because the model sees other pictures from now on."""
        self.now = adjustment
        self._conditions.clear(ErrorCode.CAMERA_ADJUSTED, self.name)
        if adjustment is not None:
            self._conditions.set(ErrorCode.CAMERA_ADJUSTED, self.name, words(adjustment))


def words(adjustment: Adjustment) -> str:
    """The change in one line."""
    values = ", ".join(f"{name} = {value:g}" for name, value in adjustment.values.items())
    return f"{values}, by {adjustment.who} at {adjustment.utc}: {adjustment.why}"
