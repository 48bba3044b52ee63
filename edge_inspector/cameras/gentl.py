"""Cameras behind a GenTL producer (a .cti file), over Harvesters (extra `gentl`), such as frame grabbers."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from genicam import genapi, gentl
from harvesters.core import Callback, DeviceInfo, Harvester, ImageAcquirer
from pydantic import Field

from edge_inspector.cameras.border import fails_as_device
from edge_inspector.cameras.clock import DeviceClock, arrival_error_ns, exposure_error_ns, middle_of_exposure
from edge_inspector.cameras.features import Thermometer, Value, apply
from edge_inspector.cameras.frame_ids import FrameIds
from edge_inspector.cameras.genicam_settings import FeatureSettings, exposure_ns, patience_ns, steps_of, ticks_per_s
from edge_inspector.cameras.pixels import picture
from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame, Image

_FAILURES = (gentl.GenericException, genapi.GenericException)

# A process can load a producer only once, so its cameras share it. By path, with the number of its users.
_loaded: dict[Path, tuple[Any, int]] = {}
_loading = threading.Lock()


class GentlCamera(Camera):
    """One camera of a producer. Its clock is estimated from the arrival of frames."""

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
        self.name = name
        self._settings = settings
        self._loaded = False
        self._acquirer: Any = None
        self._nodes: Any = None
        self._discarded = _Discarded()
        self._ids = FrameIds()
        self._clock = DeviceClock()
        self._thermometer: Thermometer | None = None
        self._ticks_per_s = 1_000_000_000
        self._exposure_ns = 0
        self._silent_ns: int | None = None
        self._heard_ns = 0

    @fails_as_device
    def open(self) -> None:
        """Connect, set everything and read it back, start. Frame numbers go on from an earlier open."""
        self.close()
        try:
            self._connect()
        except (DeviceError, OSError, ValueError, *_FAILURES) as error:
            self.close()
            raise DeviceError(f"{self.name}: {_told(error)}") from error

    @fails_as_device
    def grab(self, timeout_s: float) -> Frame | None:
        """The next complete frame."""
        if self._acquirer is None:
            raise DeviceError(f"{self.name}: not open")
        discarded = self._discarded.count
        try:
            buffer = self._acquirer.try_fetch(timeout=max(0.001, timeout_s))
        except _FAILURES as error:
            raise DeviceError(f"{self.name}: {_told(error)}") from error
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
        # Whatever error a lost camera causes here, it is released.
        for step in (acquirer.stop, acquirer.destroy) if acquirer is not None else ():
            with contextlib.suppress(*_FAILURES):
                step()
        if self._loaded:
            self._loaded = False
            _unload(self._settings.producer)

    def counters(self) -> CameraCounters:
        """Gaps in the frame numbers, and the temperature. Producers have no common way to report more."""
        celsius = self._thermometer.celsius if self._thermometer is not None else None
        return CameraCounters(frames_missed=self._ids.missed, temperature_c=celsius)

    def _connect(self) -> None:
        chosen = self._settings
        if not chosen.producer.is_file():
            raise DeviceError(f"there is no producer {chosen.producer}")
        harvester = _load(chosen.producer)
        self._loaded = True
        self._acquirer = _create(harvester, chosen.serial)
        self._nodes = self._acquirer.remote_device.node_map
        nodes = _Nodes(self._nodes)
        apply(nodes, steps_of(chosen))
        self._exposure_ns = exposure_ns(nodes)
        self._silent_ns = patience_ns(nodes, chosen)
        self._ticks_per_s = ticks_per_s(nodes)
        self._thermometer = Thermometer(nodes)
        self._clock = DeviceClock()
        self._ids.begin()
        self._acquirer.num_buffers = max(chosen.buffers, self._acquirer.min_num_buffers)
        self._acquirer.add_callback(ImageAcquirer.Events.INCOMPLETE_BUFFER, self._discarded)
        self._acquirer.start()
        self._heard_ns = time.monotonic_ns()

    def _watch(self, now_ns: int) -> None:
        if self._silent_ns is not None and now_ns - self._heard_ns > self._silent_ns:
            raise DeviceError(f"{self.name}: no frame for {(now_ns - self._heard_ns) / 1e6:.0f} ms")

    def _received(self, buffer: Any, now_ns: int) -> Frame:
        chosen, told = self._settings, buffer.module
        frame_id, stamp_ns, count = int(told.frame_id), _stamp_ns(told), None
        try:
            nodes = _Nodes(self._nodes)
            if chosen.chunk_frame_id is not None:
                frame_id = int(nodes.read(f"Chunk{chosen.chunk_frame_id}"))
            if chosen.chunk_timestamp is not None:
                # The producer has converted the frame's own timestamp to nanoseconds. This one is as the camera sent
                # it.
                stamp_ns = int(nodes.read(f"Chunk{chosen.chunk_timestamp}")) * 1_000_000_000 // self._ticks_per_s
            if chosen.chunk_encoder is not None:
                count = int(nodes.read(f"Chunk{chosen.chunk_encoder}"))
            image = self._picture(buffer.payload.components[0])
        except DeviceError as error:
            raise DeviceError(f"{self.name}: {error}") from error
        if stamp_ns:
            self._clock.add(stamp_ns + self._exposure_ns, now_ns, error_ns=arrival_error_ns(image.nbytes))
        if self._thermometer is not None:
            self._thermometer.look(now_ns)
        captured_ns = self._captured_ns(stamp_ns, now_ns)
        error_ns = exposure_error_ns(self._clock, stamp_ns, image.nbytes, chosen.stamp_error_us)
        number = self._ids.next(frame_id)
        return Frame(
            self.name,
            number,
            captured_ns=captured_ns,
            exposure_ns=self._exposure_ns,
            received_ns=time.monotonic_ns(),
            image=image,
            encoder_count=count,
            captured_error_ns=error_ns,
        )

    def _picture(self, component: Any) -> Image:
        # The producer takes its buffer back, so the picture is copied.
        memory: Image = component.data.view(np.uint8).copy()
        number = int(component.data_format_value)
        return picture(memory, number, height=component.height, width=component.width, demosaic=self._settings.demosaic)

    def _captured_ns(self, stamp_ns: int, now_ns: int) -> int:
        return middle_of_exposure(
            self._clock,
            stamp_ns,
            exposure_ns=self._exposure_ns,
            stamp_delay_us=self._settings.stamp_delay_us,
            now_ns=now_ns,
        )


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
            raise DeviceError(f"no camera has the serial number {serial}; found: {', '.join(found) or 'none'}")
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


class _Nodes:
    """Features by name, with the GenApi of the standard's own library."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def has(self, feature: str) -> bool:
        return bool(self._nodes.has_node(feature) and genapi.is_available(self._nodes.get_node(feature)))

    def read(self, feature: str) -> Value:
        try:
            found: Value = self._nodes.get_node(feature).value
        except genapi.GenericException as error:
            raise DeviceError(_told(error)) from error
        return found

    def write(self, feature: str, value: Value) -> bool:
        try:
            node = self._nodes.get_node(feature)
            if isinstance(node, genapi.ICommand):
                node.execute()
                return False
            node.value = int(value) if isinstance(node, genapi.IInteger) else value
        except (genapi.GenericException, TypeError, ValueError) as error:
            raise DeviceError(_told(error)) from error
        return True


def _stamp_ns(told: Any) -> int:
    """The timestamp in nanoseconds. 0 if the producer does not report it."""
    try:
        return int(told.timestamp_ns)
    except gentl.GenericException:
        return 0


def _told(error: Exception) -> str:
    """The message of GenApi's error, without the place in its source code."""
    return re.sub(r" : \w+ thrown in .*", "", str(error))
