"""Cameras behind a GenTL producer (a .cti file), over Harvesters (extra `gentl`), such as frame grabbers."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from genicam import genapi, gentl
from harvesters.core import Callback, DeviceInfo, Harvester, ImageAcquirer
from pydantic import Field

from edge_inspector.cameras.border import fails_as_device
from edge_inspector.cameras.genicam_settings import FeatureSettings
from edge_inspector.cameras.pixels import picture
from edge_inspector.cameras.sdk import GenApi, SdkCamera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame, Image

_API = GenApi(
    failures=(gentl.GenericException, genapi.GenericException),
    command=genapi.ICommand,
    integer=genapi.IInteger,
    node=lambda nodes, feature: nodes.get_node(feature),
    available=lambda nodes, feature: nodes.has_node(feature) and bool(genapi.is_available(nodes.get_node(feature))),
    value="value",
    execute="execute",
)

# A process can load a producer only once, so its cameras share it. By path, with the number of its users.
_loaded: dict[Path, tuple[Any, int]] = {}
_loading = threading.Lock()


class GentlCamera(SdkCamera):
    """One camera of a producer."""

    class Settings(FeatureSettings):
        """A camera behind a GenTL producer, named by its serial number."""

        producer: Path
        """The maker's GenTL producer, a .cti file."""
        serial: Annotated[str, Field(min_length=1)]
        """Serial number, as the producer reports it."""

        @property
        def device(self) -> str | None:
            """The camera. Only one program can control it."""
            return self.serial

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings, _API)
        self._settings = settings
        self._loaded = False
        self._acquirer: Any = None
        self._nodes: Any = None
        self._discarded = _Discarded()

    @fails_as_device
    def grab(self, timeout_s: float) -> Frame | None:
        """The next complete frame."""
        if self._acquirer is None:
            raise DeviceError(f"{self.name}: not open")
        discarded = self._discarded.count
        with self._named():
            buffer = self._acquirer.try_fetch(timeout=max(0.001, timeout_s))
        now = time.monotonic_ns()
        if self._discarded.count > discarded:
            self._heard_ns = now
            raise FrameIncompleteError("data missing", self._ids.next(0), self._captured_ns(0, now))
        if buffer is None:
            self._watch(now)
            return None
        self._heard_ns = now
        try:
            return self._received(buffer, now)
        finally:
            buffer.queue()

    def close(self) -> None:
        """Stop and disconnect. The last camera of a producer also closes the producer."""
        acquirer, self._acquirer, self._nodes = self._acquirer, None, None
        if acquirer is not None:
            self._end(acquirer.stop, acquirer.destroy)
        if self._loaded:
            self._loaded = False
            _unload(self._settings.producer)

    def counters(self) -> CameraCounters:
        """Gaps in the frame numbers, and the temperature. Producers have no common way to report more."""
        return CameraCounters(frames_missed=self._ids.missed, temperature_c=self._celsius)

    def _connect(self) -> None:
        chosen = self._settings
        if not chosen.producer.is_file():
            raise DeviceError(f"there is no producer {chosen.producer}")
        harvester = _load(chosen.producer)
        self._loaded = True
        self._acquirer = _create(harvester, chosen.serial)
        self._nodes = self._acquirer.remote_device.node_map
        self._set_up(self._nodes)
        self._acquirer.num_buffers = max(chosen.buffers, self._acquirer.min_num_buffers)
        self._acquirer.add_callback(ImageAcquirer.Events.INCOMPLETE_BUFFER, self._discarded)
        self._acquirer.start()

    def _received(self, buffer: Any, now_ns: int) -> Frame:
        with self._named():
            leader = buffer.module
            told = self._chunks(lambda: self._nodes, int(leader.frame_id), _stamp_ns(leader))
            image = self._picture(buffer.payload.components[0])
        return self._frame(image, image.nbytes, told, now_ns)

    def _picture(self, component: Any) -> Image:
        # The producer takes its buffer back, so the picture is copied.
        memory: Image = component.data.view(np.uint8).copy()
        number = int(component.data_format_value)
        return picture(memory, number, height=component.height, width=component.width, demosaic=self._settings.demosaic)


def _load(producer: Path) -> Any:
    with _loading:
        harvester, users = _loaded.get(producer, (None, 0))
        if harvester is None:
            harvester = Harvester()
            harvester.add_file(str(producer))
            harvester.update()
        _loaded[producer] = (harvester, users + 1)
        return harvester


def _unload(producer: Path) -> None:
    with _loading:
        harvester, users = _loaded.pop(producer)
        if users > 1:
            _loaded[producer] = (harvester, users - 1)
        else:
            harvester.reset()


def _create(harvester: Any, serial: str) -> Any:
    with _loading:
        found = [each.serial_number for each in harvester.device_info_list]
        if serial not in found:
            _look_again(harvester)
            found = [each.serial_number for each in harvester.device_info_list]
        if serial not in found:
            raise DeviceError(f"no camera has the serial number {serial}. Found: {', '.join(found) or 'none'}")
        return harvester.create({"serial_number": serial})


def _look_again(harvester: Any) -> None:
    """List the cameras that are there now.

    Harvesters' own `update` would close the producer while its cameras are open.
    """
    listed = []
    for interface in harvester._ifaces:  # noqa: SLF001 -- it has no public look at them
        interface.update_device_info_list(harvester.timeout_for_update)
        listed += [DeviceInfo(module=each, parent=interface) for each in interface.device_info_list]
    harvester.device_info_list[:] = listed


class _Discarded(Callback):  # type: ignore[misc]
    """Counts incomplete frames. Harvesters returns them to the producer with their number and timestamp."""

    def __init__(self) -> None:
        self.count = 0

    def emit(self, context: object = None) -> None:  # noqa: ARG002 -- Harvesters' signature
        self.count += 1


def _stamp_ns(leader: Any) -> int:
    """The timestamp in nanoseconds. 0 if the producer does not report it."""
    try:
        return int(leader.timestamp_ns)
    except gentl.GenericException:
        return 0
