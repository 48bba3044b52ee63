"""Basler cameras over pylon, Basler's own SDK (extra `basler`), if Aravis does not suit."""

from __future__ import annotations

import contextlib
import time
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from pypylon import genicam, pylon

from edge_inspector.cameras.border import fails_as_device
from edge_inspector.cameras.genicam_settings import FeatureSettings
from edge_inspector.cameras.pixels import picture
from edge_inspector.cameras.sdk import GenApi, SdkCamera, SdkFeatures
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.records import CameraCounters, Frame, Image

_API = GenApi(
    failures=(genicam.GenericException,),
    command=genicam.ICommand,
    integer=genicam.IInteger,
    node=lambda nodes, feature: nodes.GetNode(feature),
    available=lambda nodes, feature: bool(genicam.IsAvailable(nodes.GetNode(feature))),
    value="Value",
    execute="Execute",
)
_STATISTICS = {
    "underruns": "Statistic_Buffer_Underrun_Count",
    "packets_missing": "Statistic_Failed_Packet_Count",
    "packets_resent": "Statistic_Resend_Packet_Count",
}


class BaslerCamera(SdkCamera):
    """One camera on any interface that pylon supports."""

    class Settings(FeatureSettings):
        """A Basler camera, named by its serial number."""

        serial: Annotated[str, Field(min_length=1)]
        """Serial number, as printed on the camera."""

        @property
        def device(self) -> str | None:
            """The camera. Only one program can control it."""
            return self.serial

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings, _API)
        self._settings = settings
        self._camera: Any = None
        self._counters = CameraCounters()

    @fails_as_device
    def grab(self, timeout_s: float) -> Frame | None:
        """The next complete frame."""
        if self._camera is None:
            raise DeviceError(f"{self.name}: not open")
        if self._camera.IsCameraDeviceRemoved():
            raise DeviceError(f"{self.name}: the camera was removed")
        with self._named():
            result = self._camera.RetrieveResult(max(1, int(timeout_s * 1000)), pylon.TimeoutHandling_Return)
        now = time.monotonic_ns()
        if result is None or not result.IsValid():
            self._watch(now)
            return None
        self._heard_ns = now
        try:
            return self._received(result, now)
        finally:
            result.Release()  # pylon gets its buffer back

    def close(self) -> None:
        """Stop and disconnect."""
        camera, self._camera = self._camera, None
        if camera is not None:
            self._end(camera.StopGrabbing, camera.Close, camera.DestroyDevice)

    def counters(self) -> CameraCounters:
        """Pylon's statistics of the stream, if the interface has them."""
        if self._camera is not None:
            # An unplugged camera has no statistics any more.
            with contextlib.suppress(DeviceError, genicam.GenericException):
                stream = SdkFeatures(_API, self._camera.GetStreamGrabberNodeMap())
                told = {key: int(stream.read(name)) for key, name in _STATISTICS.items() if stream.has(name)}
                self._counters = CameraCounters(frames_missed=self._ids.missed, temperature_c=self._celsius, **told)
        return self._counters

    def _connect(self) -> None:
        chosen = self._settings
        wanted = pylon.DeviceInfo()
        wanted.SetSerialNumber(chosen.serial)
        camera = self._camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateDevice(wanted))
        camera.MaxNumBuffer.Value = chosen.buffers
        camera.Open()
        self._set_up(camera.GetNodeMap())
        camera.StartGrabbing(pylon.GrabStrategy_OneByOne)

    def _received(self, result: Any, now_ns: int) -> Frame:
        stamp_ns = self._to_ns(int(result.TimeStamp))
        if not result.GrabSucceeded():
            captured_ns = self._captured_ns(stamp_ns, now_ns)
            raise FrameIncompleteError(result.ErrorDescription, self._ids.next(result.BlockID), captured_ns)
        with self._named():
            told = self._chunks(result.GetChunkDataNodeMap, int(result.BlockID), stamp_ns)
            # pylon takes its buffer back, so these bytes are copied.
            memory: Image = np.frombuffer(result.GetBuffer(), np.uint8)
            image = picture(
                memory,
                int(result.PixelType),
                height=result.Height,
                width=result.Width,
                demosaic=self._settings.demosaic,
            )
        return self._frame(image, memory.nbytes, told, now_ns)
