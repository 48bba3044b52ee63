"""GigE Vision and USB3 Vision cameras of all makers, by GenICam over Aravis.

A grey or BGR frame stays in the memory into which Aravis received it. That memory goes to the frame's owner, and Aravis
gets another piece. Bayer, RGB, YUV and 12-bit frames are converted into an image of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

from edge_inspector.cameras import aravis
from edge_inspector.cameras.border import fails_as_device
from edge_inspector.cameras.clock import (
    DeviceClock,
    Exposure,
    arrival_error_ns,
    exposure_error_ns,
    middle_of_exposure,
)
from edge_inspector.cameras.features import Step, Thermometer, apply
from edge_inspector.cameras.frame_ids import FrameIds
from edge_inspector.cameras.genicam_settings import GenicamSettings, exposure_ns, patience_ns, readjust, steps_of
from edge_inspector.cameras.gige import Probe, TimestampLatch
from edge_inspector.cameras.memory import Memory
from edge_inspector.cameras.pixels import is_view, picture
from edge_inspector.drivers import Camera, FeatureValue, FoundCamera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.host_name import is_address
from edge_inspector.records import CameraCounters, Frame

log = logging.getLogger(__name__)

_ANSWERS_WITHIN_S: Final = 0.3
_LOOK_UP_S: Final = 0.05  # how often a wait for a frame checks that the camera is still there
_ASK_EVERY_NS: Final = 250_000_000
_LATCH_EVERY_NS: Final = 500_000_000
_LATCH_IDLE_EVERY_NS: Final = 2_000_000_000
_ANSWERS_AT_ONCE_S: Final = 0.005
_FIRST_LATCHES: Final = 5


class GenicamCamera(Camera):
    """One GenICam camera. A setting that the camera does not accept is an error."""

    Settings = GenicamSettings

    def __init__(self, name: str, settings: GenicamSettings) -> None:
        self.name = name
        self._settings = settings
        self._device: aravis.Device | None = None
        self._stream: aravis.Stream | None = None
        self._probe: Probe | None = None
        self._latch: TimestampLatch | None = None
        self._clock = DeviceClock()
        self._ids = FrameIds()
        self._converted = Memory(settings.buffers)
        self._exposure = Exposure()
        self._silent_ns: int | None = None
        self._heard_ns = 0
        self._asked_ns = 0
        self._latches = False
        self._latched_ns = 0
        self._thermometer: Thermometer | None = None
        self._counters = CameraCounters()
        self._lost = False

    @fails_as_device
    def open(self) -> None:
        """Connect, set everything and read it back, start. Frame numbers go on from an earlier open."""
        self.close()
        with ExitStack() as undo:
            undo.callback(self.close)
            try:
                self._connect()
            except DeviceError as error:
                raise DeviceError(f"{self.name}: {error}") from error
            undo.pop_all()

    @fails_as_device
    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame that was completed."""
        stream = self._opened()
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while True:
            left_s = max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
            buffer = stream.pop(min(left_s, _LOOK_UP_S))
            now = time.monotonic_ns()
            if buffer is not None:
                self._heard_ns = now
                if self._probe is not None:
                    self._probe.alive(now)
                return self._received(stream, buffer, now)
            self._watch(now)
            self._latch_idle(now)
            if now >= deadline_ns:
                return None

    @fails_as_device
    def set_features(self, features: Mapping[str, FeatureValue]) -> None:
        """Set features between two frames. Those that change the size of frames are refused by the camera."""
        device = self._device
        if device is None:
            raise DeviceError(f"{self.name}: not open")
        try:
            apply(device, [Step(feature, value) for feature, value in features.items()])
            self._exposure.change(exposure_ns(device), time.monotonic_ns())
        except DeviceError as error:
            raise DeviceError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Stop and free everything. With a dead camera this takes seconds, because Aravis tries to sign off."""
        device, self._device = self._device, None
        stream, self._stream = self._stream, None
        probe, self._probe = self._probe, None
        try:
            if stream is not None:
                log.info("%s: %s", self.name, _told(stream.counters()))
            if device is not None and stream is not None and not self._lost:
                device.stop()
        except DeviceError as error:
            log.warning("%s: %s", self.name, error)
        finally:
            for each in (stream, device, probe):
                if each is not None:
                    each.close()

    @classmethod
    def find(cls) -> Iterator[FoundCamera]:
        """The GigE Vision and USB3 Vision cameras that answer Aravis. Raises DeviceError."""
        for each in aravis.devices():
            by = {"address": each.address} if each.protocol == "GigEVision" else {"serial": each.serial}
            yield FoundCamera(
                vendor=each.vendor,
                model=each.model,
                serial=each.serial,
                address=each.address,
                settings=by | {"packet_socket": False},
            )

    @classmethod
    def settings_for(cls, which: str) -> GenicamSettings | None:
        """A camera by its address or serial number."""
        if "/" in which:
            return None
        by = "address" if is_address(which) else "serial"
        return GenicamSettings.model_validate({by: which, "packet_socket": False})

    def software_trigger(self) -> None:
        """Take a picture now. Raises DeviceError."""
        self._opened()
        if self._device is not None:
            self._device.write("TriggerSoftware", value=True)

    @fails_as_device
    def adjust(self, settings: GenicamSettings) -> None:
        """Change exposure and gain between two pictures."""
        device = self._device
        if device is not None:
            try:
                readjust(device, self._settings, settings)
                self._exposure.change(exposure_ns(device), time.monotonic_ns())
            except DeviceError as error:
                raise DeviceError(f"{self.name}: {error}") from error
        self._settings = settings

    def counters(self) -> CameraCounters:
        """The stream's statistics, the gaps in the frame numbers, and the last known temperature."""
        if self._stream is not None:
            told = self._stream.counters()
            self._counters = CameraCounters(
                frames_missed=self._ids.missed,
                underruns=told.get("underruns", 0),
                packets_missing=told.get("missing_packets", 0),
                packets_resent=told.get("resent_packets", 0),
                temperature_c=self._thermometer.celsius if self._thermometer is not None else None,
            )
        return self._counters

    def _connect(self) -> None:
        chosen = self._settings
        self._lost = False
        where = chosen.address or _address_of(chosen.serial or "")
        if chosen.address is not None or is_address(where):
            self._probe = Probe(where)
            self._probe.wait(_ANSWERS_WITHIN_S)  # Aravis would need 2.5 s to find out
        device = self._device = aravis.Device(where)
        apply(device, steps_of(chosen))
        self._set_packets(device)
        self._silent_ns = patience_ns(device, chosen)
        self._exposure = Exposure(exposure_ns(device))
        self._ids.begin()
        self._clock = DeviceClock()
        self._latch = TimestampLatch(device) if device.is_gige else None
        tried = [self._read_latch() for _ in range(_FIRST_LATCHES)]
        self._latches = any(tried)
        self._latched_ns = time.monotonic_ns()
        self._thermometer = Thermometer(device)
        self._stream = device.open_stream(
            chosen.buffers, packet_socket=chosen.packet_socket, frame_retention_ms=chosen.frame_retention_ms
        )
        device.start()
        self._heard_ns = time.monotonic_ns()

    def _set_packets(self, device: aravis.Device) -> None:
        chosen = self._settings
        if not device.is_gige:
            return
        size, delay_ns = device.set_packets(chosen.packet_size, chosen.packet_delay_ns)
        if chosen.packet_size not in (None, size):
            raise DeviceError(f"packet_size = {chosen.packet_size} was refused: the camera has {size}")
        if chosen.packet_delay_ns is not None and abs(delay_ns - chosen.packet_delay_ns) > 1000:
            raise DeviceError(f"packet_delay_ns = {chosen.packet_delay_ns} was refused: the camera has {delay_ns}")

    def _watch(self, now_ns: int) -> None:
        why = self._probe.silence(now_ns) if self._probe is not None else self._unplugged(now_ns)
        if not why and self._silent_ns is not None and now_ns - self._heard_ns > self._silent_ns:
            why = f"no frame for {(now_ns - self._heard_ns) / 1e6:.0f} ms"
        if why:
            self._lost = True
            raise DeviceError(f"{self.name}: {why}")

    def _unplugged(self, now_ns: int) -> str:
        """Why a camera on a bus is gone. Empty if it is there. The camera is polled only while no frame arrives."""
        if self._device is None or now_ns - max(self._heard_ns, self._asked_ns) < _ASK_EVERY_NS:
            return ""
        self._asked_ns = now_ns
        try:
            self._device.read("PayloadSize")
        except DeviceError as error:
            return str(error)
        return ""

    def _received(self, stream: aravis.Stream, buffer: aravis.Buffer, now_ns: int) -> Frame:
        if buffer.status != aravis.SUCCESS:
            stream.give_back(buffer)
            frame_id = self._ids.next(buffer.frame_id)
            reason = aravis.STATUS_NAMES[buffer.status] if buffer.status > 0 else "unknown"
            raise FrameIncompleteError(reason, frame_id, self._captured_ns(buffer.timestamp_ns, now_ns))
        try:
            frame_id, stamp_ns, count = self._chunks(buffer)
            image = picture(
                buffer.memory,
                buffer.pixel_format,
                height=buffer.height,
                width=buffer.width,
                demosaic=self._settings.demosaic,
                own=self._converted,
            )
        except DeviceError as error:
            stream.give_back(buffer)
            raise DeviceError(f"{self.name}: {error}") from error
        (stream.keep if is_view(buffer.pixel_format) else stream.give_back)(buffer)
        size = buffer.memory.nbytes
        self._synchronise(stamp_ns, now_ns, size)
        captured_ns = self._captured_ns(stamp_ns, now_ns)
        error_ns = exposure_error_ns(self._clock, stamp_ns, size, self._settings.stamp_error_us)
        error_ns += self._exposure.doubt_ns(now_ns)
        number = self._ids.next(frame_id)
        return Frame(
            self.name,
            number,
            captured_ns=captured_ns,
            exposure_ns=self._exposure.ns,
            received_ns=time.monotonic_ns(),
            image=image,
            encoder_count=count,
            captured_error_ns=error_ns,
        )

    def _chunks(self, buffer: aravis.Buffer) -> tuple[int, int, int | None]:
        """Frame id, timestamp and encoder count: from the configured chunks, otherwise from the frame's leader."""
        chosen, device = self._settings, self._device
        frame_id, stamp_ns, count = buffer.frame_id, buffer.timestamp_ns, None
        if device is None:
            return frame_id, stamp_ns, count
        if chosen.chunk_frame_id is not None:
            frame_id = device.chunk(buffer, f"Chunk{chosen.chunk_frame_id}")
        if chosen.chunk_timestamp is not None:
            ticks = device.chunk(buffer, f"Chunk{chosen.chunk_timestamp}")
            stamp_ns = self._latch.to_ns(ticks) if self._latch is not None else ticks
        if chosen.chunk_encoder is not None:
            count = device.chunk(buffer, f"Chunk{chosen.chunk_encoder}")
        return frame_id, stamp_ns, count

    def _synchronise(self, stamp_ns: int, now_ns: int, size: int) -> None:
        """Learn the camera's clock from its latched value, or from the frame's arrival if it cannot latch.

        Never both: an arrival is late by the transfer, and that would look like drift. The latch is read only now and
        then, right after a frame, because a dead camera would block this for seconds.
        """
        if self._thermometer is not None:
            self._thermometer.look(now_ns)
        if not self._latches:
            if not self._exposure.doubt_ns(now_ns):
                self._clock.add(stamp_ns + self._exposure.ns, now_ns, error_ns=arrival_error_ns(size))
        elif now_ns - self._latched_ns > _LATCH_EVERY_NS and self._read_latch():
            self._latched_ns = now_ns

    def _latch_idle(self, now_ns: int) -> None:
        """Follow the camera's clock while no frame comes, so that the first frame after hours has an exact time.

        It is read right after the camera answers. It is tried once, whatever the result is.
        """
        if not self._latches or self._probe is None or now_ns - self._latched_ns < _LATCH_IDLE_EVERY_NS:
            return
        self._latched_ns = now_ns
        if self._probe.answers(_ANSWERS_AT_ONCE_S):
            self._read_latch()

    def _read_latch(self) -> bool:
        try:
            found = self._latch.read() if self._latch is not None else None
        except DeviceError as error:
            log.info("%s: the camera's clock cannot be read: %s", self.name, error)
            self._latches = False
            return False
        if found is not None:
            device_ns, host_ns, error_ns = found
            self._clock.add(device_ns, host_ns, latched=True, error_ns=error_ns)
        return found is not None

    def _captured_ns(self, stamp_ns: int, now_ns: int) -> int:
        return middle_of_exposure(
            self._clock,
            stamp_ns,
            exposure_ns=self._exposure.ns,
            stamp_delay_us=self._settings.stamp_delay_us,
            now_ns=now_ns,
        )

    def _opened(self) -> aravis.Stream:
        if self._stream is None:
            raise DeviceError(f"{self.name}: not open")
        return self._stream


def _told(counters: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counters.items() if count) or "no frame was received"


def _address_of(serial: str) -> str:
    found = aravis.devices()
    for each in found:
        if each.serial == serial:
            return each.address
    others = ", ".join(each.serial for each in found) or "none"
    raise DeviceError(f"no camera has the serial number {serial}. Found: {others}")
