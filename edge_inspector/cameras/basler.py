"""Basler cameras over pylon, Basler's own SDK (extra `basler`), if Aravis does not suit."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from pypylon import genicam, pylon

from edge_inspector.cameras.border import fails_as_device
from edge_inspector.cameras.clock import DeviceClock, arrival_error_ns, exposure_error_ns, middle_of_exposure
from edge_inspector.cameras.features import Thermometer, Value, apply
from edge_inspector.cameras.frame_ids import FrameIds
from edge_inspector.cameras.genicam_settings import FeatureSettings, exposure_ns, patience_ns, steps_of, ticks_per_s
from edge_inspector.cameras.pixels import picture
from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame, Image

_STATISTICS = {
    "underruns": "Statistic_Buffer_Underrun_Count",
    "packets_missing": "Statistic_Failed_Packet_Count",
    "packets_resent": "Statistic_Resend_Packet_Count",
}


class BaslerCamera(Camera):
    """One camera on any interface that pylon supports. Its clock is estimated from the arrival of frames."""

    class Settings(FeatureSettings):
        """A Basler camera, named by its serial number."""

        serial: Annotated[str, Field(min_length=1)]
        """Serial number, as printed on the camera."""

        @property
        def device(self) -> str | None:
            """The camera. Only one program can control it."""
            return self.serial

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._camera: Any = None
        self._ids = FrameIds()
        self._clock = DeviceClock()
        self._thermometer: Thermometer | None = None
        self._ticks_per_s = 1_000_000_000
        self._exposure_ns = 0
        self._silent_ns: int | None = None
        self._heard_ns = 0
        self._counters = CameraCounters()

    @fails_as_device
    def open(self) -> None:
        """Connect, set everything and read it back, start. Frame numbers go on from an earlier open."""
        self.close()
        try:
            self._connect()
        except (DeviceError, genicam.GenericException) as error:
            self.close()
            raise DeviceError(f"{self.name}: {_told(error)}") from error

    @fails_as_device
    def grab(self, timeout_s: float) -> Frame | None:
        """The next complete frame."""
        if self._camera is None:
            raise DeviceError(f"{self.name}: not open")
        if self._camera.IsCameraDeviceRemoved():
            raise DeviceError(f"{self.name}: the camera was removed")
        try:
            result = self._camera.RetrieveResult(max(1, int(timeout_s * 1000)), pylon.TimeoutHandling_Return)
        except genicam.GenericException as error:
            raise DeviceError(f"{self.name}: {_told(error)}") from error
        now = time.monotonic_ns()
        if result is None or not result.IsValid():
            self._watch(now)
            return None
        self._heard_ns = now
        with contextlib.closing(_Released(result)):
            return self._received(result, now)

    def close(self) -> None:
        """Stop and disconnect."""
        camera, self._camera = self._camera, None
        if camera is not None:
            # Whatever error a lost camera causes here, it is released.
            for step in (camera.StopGrabbing, camera.Close, camera.DestroyDevice):
                with contextlib.suppress(genicam.GenericException):
                    step()

    def counters(self) -> CameraCounters:
        """Pylon's statistics of the stream, if the interface has them."""
        if self._camera is not None:
            # An unplugged camera has no statistics any more.
            with contextlib.suppress(DeviceError, genicam.GenericException):
                stream = _Nodes(self._camera.GetStreamGrabberNodeMap())
                told = {key: int(stream.read(name)) for key, name in _STATISTICS.items() if stream.has(name)}
                celsius = self._thermometer.celsius if self._thermometer is not None else None
                self._counters = CameraCounters(frames_missed=self._ids.missed, temperature_c=celsius, **told)
        return self._counters

    def _connect(self) -> None:
        chosen = self._settings
        wanted = pylon.DeviceInfo()
        wanted.SetSerialNumber(chosen.serial)
        camera = self._camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateDevice(wanted))
        camera.MaxNumBuffer.Value = chosen.buffers
        camera.Open()
        nodes = _Nodes(camera.GetNodeMap())
        apply(nodes, steps_of(chosen))
        self._exposure_ns = exposure_ns(nodes)
        self._silent_ns = patience_ns(nodes, chosen)
        self._ticks_per_s = ticks_per_s(nodes)
        self._thermometer = Thermometer(nodes)
        self._clock = DeviceClock()
        self._ids.begin()
        camera.StartGrabbing(pylon.GrabStrategy_OneByOne)
        self._heard_ns = time.monotonic_ns()

    def _watch(self, now_ns: int) -> None:
        if self._silent_ns is not None and now_ns - self._heard_ns > self._silent_ns:
            raise DeviceError(f"{self.name}: no frame for {(now_ns - self._heard_ns) / 1e6:.0f} ms")

    def _received(self, result: Any, now_ns: int) -> Frame:
        stamp_ns = int(result.TimeStamp) * 1_000_000_000 // self._ticks_per_s
        if not result.GrabSucceeded():
            captured_ns = self._captured_ns(stamp_ns, now_ns)
            raise FrameIncompleteError(result.ErrorDescription, self._ids.next(result.BlockID), captured_ns)
        chosen = self._settings
        frame_id, count = int(result.BlockID), None
        try:
            if chosen.chunk_frame_id is not None:
                frame_id = _chunk(result, chosen.chunk_frame_id)
            if chosen.chunk_timestamp is not None:
                stamp_ns = _chunk(result, chosen.chunk_timestamp) * 1_000_000_000 // self._ticks_per_s
            if chosen.chunk_encoder is not None:
                count = _chunk(result, chosen.chunk_encoder)
            # pylon takes its buffer back, so these bytes are copied.
            memory: Image = np.frombuffer(result.GetBuffer(), np.uint8)
            image = picture(
                memory, int(result.PixelType), height=result.Height, width=result.Width, demosaic=chosen.demosaic
            )
        except DeviceError as error:
            raise DeviceError(f"{self.name}: {error}") from error
        if stamp_ns:
            self._clock.add(stamp_ns + self._exposure_ns, now_ns, error_ns=arrival_error_ns(memory.nbytes))
        if self._thermometer is not None:
            self._thermometer.look(now_ns)
        captured_ns = self._captured_ns(stamp_ns, now_ns)
        error_ns = exposure_error_ns(self._clock, stamp_ns, memory.nbytes, chosen.stamp_error_us)
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

    def _captured_ns(self, stamp_ns: int, now_ns: int) -> int:
        return middle_of_exposure(
            self._clock,
            stamp_ns,
            exposure_ns=self._exposure_ns,
            stamp_delay_us=self._settings.stamp_delay_us,
            now_ns=now_ns,
        )


class _Nodes:
    """pylon's features by name."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def has(self, feature: str) -> bool:
        try:
            return bool(genicam.IsAvailable(self._nodes.GetNode(feature)))
        except genicam.GenericException:
            return False

    def read(self, feature: str) -> Value:
        try:
            found: Value = self._nodes.GetNode(feature).Value
        except genicam.GenericException as error:
            raise DeviceError(_told(error)) from error
        return found

    def write(self, feature: str, value: Value) -> bool:
        try:
            node = self._nodes.GetNode(feature)
            if isinstance(node, genicam.ICommand):
                node.Execute()
                return False
            node.Value = int(value) if isinstance(node, genicam.IInteger) else value
        except (genicam.GenericException, TypeError, ValueError) as error:
            raise DeviceError(_told(error)) from error
        return True


class _Released:
    """Gives pylon its buffer back."""

    def __init__(self, result: Any) -> None:
        self.close = result.Release


def _chunk(result: Any, name: str) -> int:
    return int(_Nodes(result.GetChunkDataNodeMap()).read(f"Chunk{name}"))


def _told(error: Exception) -> str:
    """The message of pylon's error, without the place in its source code."""
    return re.sub(r" : \w+ thrown in .*", "", str(error))
