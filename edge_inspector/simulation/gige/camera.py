"""The simulated GigE Vision camera: triggers, exposures and chunks around its registers and channels."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Final

from edge_inspector.records import Image
from edge_inspector.simulation.gige import registers
from edge_inspector.simulation.gige.control import ControlChannel
from edge_inspector.simulation.gige.formats import binned, encoded, size_of
from edge_inspector.simulation.gige.genapi import MODEL_NAME, VENDOR_NAME, describe
from edge_inspector.simulation.gige.registers import CHUNKS, Registers
from edge_inspector.simulation.gige.scene import SimulatedScene
from edge_inspector.simulation.gige.stream import ImageLeader, StreamChannel
from edge_inspector.simulation.gige.triggers import Triggers

_LOOK_UP_S: Final = 0.05  # interval at which a wait checks whether it still makes sense
_PTP_EPOCH_NS: Final = 1_790_000_000 * 10**9  # the simulated network's clock is the host's, with another epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Intended faults: packets lost, frames held back, no resending, a clock that drifts.

    Each `short_every`th frame ends after half of its rows, as when the part's trigger ends too early. 0 for none.
    """

    loss: float = 0.0
    delay_ms: float = 0.0
    resend: bool = True
    drift_ppm: float = 30.0
    first_frame_id: int = 1
    short_every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A planned exposure: its middle and length, the part in the picture, and the trigger line's level.

    For a line camera it is the exposure of the first row. Rows follow at a fixed distance in encoder counts.
    """

    middle_ns: int
    exposure_ns: int
    part: int
    line_level: int
    rows: int = 0
    row_counts: int = 0

    @property
    def start_ns(self) -> int:
        """The start of the exposure."""
        return self.middle_ns - self.exposure_ns // 2


class SimulatedGigeCamera:
    """A camera on one address. Raises OSError if the address is in use or not this machine's."""

    def __init__(self, address: str, serial: str, scene: SimulatedScene, faults: Faults) -> None:
        self._scene = scene
        self._faults = faults
        self._random = random.Random(serial)
        self._powered_ns = time.monotonic_ns() - self._random.randrange(10**13)
        self._frame_id = faults.first_frame_id
        self._frames = 0
        self._changed = threading.Condition()
        self._starts = 0
        self._acquiring = 0  # the number of the start, 0 while stopped
        self._software_triggers = 0
        self._chunks: set[int] = set()
        offered = registers.features(scene.height, scene.width)
        self._memory = Registers(offered, describe(offered))
        self._offered = offered
        self._triggers = Triggers(self._memory)
        self._plugged = threading.Event()
        self._plugged.set()
        self._stream = StreamChannel(address, self._memory, self._loses)
        self._fill_in(address, serial)
        self._wire()
        resend = self._stream.resend if faults.resend else lambda *_: None
        self._control = ControlChannel(
            address, self._memory, resend=resend, released=self._stop_acquisition, plugged=self._plugged
        )

    def run(self, stop: threading.Event) -> None:
        """Expose on each trigger until `stop` is set."""
        self._control.start()
        try:
            while not stop.is_set():
                acquisition = self._acquiring
                shot = self._next_shot()
                if shot is None:
                    continue
                seen = self._see(shot)  # rendered while the part is still on its way
                if self._wait_until(self._end_ns(shot), acquisition, stop):
                    self._expose(shot, seen)
        finally:
            self._control.stop()
            self._stream.close()

    def reset_encoder(self) -> None:
        """The PLC restarted, and its reset line set the counter to zero."""
        self._scene.boot += 1

    def toggle_cable(self) -> None:
        """Pull the network cable, or plug it in again. The camera continues unaware."""
        (self._plugged.clear if self._plugged.is_set() else self._plugged.set)()

    def _loses(self) -> bool:
        return not self._plugged.is_set() or self._random.random() < self._faults.loss

    def _fill_in(self, address: str, serial: str) -> None:
        memory, ip = self._memory, struct.unpack(">I", socket.inet_aton(address))[0]
        resend = registers.CAPABILITY_RESEND if self._faults.resend else 0
        words = {
            registers.VERSION: 0x00010002,
            registers.DEVICE_MODE: 0x80000001,  # big-endian, UTF-8
            registers.MAC_LOW: ip,
            registers.CURRENT_IP: ip,
            registers.SUBNET_MASK: 0xFF000000,
            registers.INTERFACES: 1,
            registers.STREAM_CHANNELS: 1,
            registers.CAPABILITY: registers.CAPABILITY_BASIC | registers.CAPABILITY_SERIAL | resend,
            registers.HEARTBEAT_TIMEOUT_MS: 3000,
            registers.TICKS_PER_SECOND: 10**9,
        }
        memory.set_words(words | dict.fromkeys(registers.IP_CONFIGURATION, 5))
        memory.set_text(registers.VENDOR, VENDOR_NAME)
        memory.set_text(registers.MODEL, MODEL_NAME)
        memory.set_text(registers.DEVICE_VERSION, "1")
        memory.set_text(registers.SERIAL, serial[:15])

    def _wire(self) -> None:
        memory = self._memory
        memory.live |= {
            "EncoderValue": lambda: self._scene.count(time.monotonic_ns()),
            "PayloadSize": self._payload_size,
            "ChunkEnable": lambda: int(memory.get("ChunkSelector")) in self._chunks,
        }
        memory.locked["AcquisitionFrameRate"] = lambda rate: rate * memory.get("ExposureTime") > 1e6
        memory.watched |= {
            "AcquisitionStart": lambda _: self._start_acquisition(),
            "AcquisitionStop": lambda _: self._stop_acquisition(),
            "TriggerSoftware": lambda _: self._software_trigger(),
            "ChunkEnable": self._enable_chunk,
            "BinningHorizontal": lambda word: memory.put("Width", self._scene.width // word),
            "BinningVertical": lambda word: memory.put("Height", self._scene.height // word),
            "UserSetLoad": lambda _: self._load_defaults(),
            registers.TIMESTAMP_CONTROL: self._latch_timestamp,
        }

    def _start_acquisition(self) -> None:
        with self._changed:
            self._starts += 1
            self._acquiring, self._software_triggers = self._starts, 0
            self._changed.notify()

    def _stop_acquisition(self) -> None:
        with self._changed:
            self._acquiring = 0
            self._changed.notify()

    def _software_trigger(self) -> None:
        with self._changed:
            self._software_triggers += 1
            self._changed.notify()

    def _enable_chunk(self, word: int) -> None:
        (self._chunks.add if word else self._chunks.discard)(int(self._memory.get("ChunkSelector")))

    def _load_defaults(self) -> None:
        self._chunks.clear()
        self._triggers.forget()
        for feature in self._offered:
            if feature.writable:
                self._memory.put(feature.name, feature.default)

    def _latch_timestamp(self, word: int) -> None:
        if word & 2:
            ticks = self._ticks(time.monotonic_ns())
            at = registers.TIMESTAMP_LATCHED
            self._memory.set_words({at: ticks >> 32, at + 4: ticks})

    def _ticks(self, at_ns: int) -> int:
        """The camera's own clock: the time since power-on, a little fast. With PTP it is the network's clock."""
        if self._memory.get("PtpEnable"):
            return at_ns + _PTP_EPOCH_NS
        return int((at_ns - self._powered_ns) * (1 + self._faults.drift_ppm * 1e-6))

    def _payload_size(self) -> int:
        width, height, pixel_format = (int(self._memory.get(name)) for name in ("Width", "Height", "PixelFormat"))
        size = size_of(width, height, pixel_format)
        if self._memory.get("ChunkModeActive"):
            size += 8 + sum(CHUNKS[at].size + 8 for at in self._chunks)
        return size

    def _next_shot(self) -> Shot | None:
        """The next exposure, None if there is none to wait for now."""
        memory, triggers = self._memory, self._triggers
        with self._changed:
            triggered = triggers.frames_by is not None
            by_line = triggers.frames_by == registers.TRIGGER_LINE
            if not self._acquiring or (triggered and not by_line and not self._software_triggers):
                self._changed.wait(_LOOK_UP_S)
                return None
            if triggered and not by_line:
                self._software_triggers -= 1
        now, exposure_ns = time.monotonic_ns(), int(memory.get("ExposureTime") * 1000)
        delay_ns = int(memory.get("TriggerDelay") * 1000) if triggered else 0
        counts = triggers.row_counts
        rows, row_counts = (int(memory.get("Height")), counts) if counts is not None else (0, 0)
        if not by_line:
            wait_ns = delay_ns + exposure_ns // 2 if triggered else int(1e9 / memory.get("AcquisitionFrameRate"))
            return Shot(
                middle_ns=now + wait_ns,
                exposure_ns=exposure_ns,
                part=self._frames,
                line_level=0,
                rows=rows,
                row_counts=row_counts,
            )
        part = self._scene.next_part(now - delay_ns, triggers.every_frame)
        if part is None:
            time.sleep(_LOOK_UP_S)
            return None
        return Shot(
            middle_ns=self._scene.passes_ns(part) + delay_ns,
            exposure_ns=exposure_ns,
            part=part,
            line_level=1,
            rows=rows,
            row_counts=row_counts,
        )

    def _see(self, shot: Shot) -> Image | None:
        if shot.row_counts:
            return self._scene.scan(shot.part, shot.rows, shot.row_counts)
        return self._scene.picture(shot.part)

    def _end_ns(self, shot: Shot) -> int:
        """The time when all is exposed and the frame can be sent."""
        last_ns = shot.middle_ns
        if shot.row_counts:
            last_ns = self._scene.moved_on_ns(shot.middle_ns, (shot.rows - 1) * shot.row_counts)
        return last_ns + shot.exposure_ns // 2

    def _wait_until(self, instant_ns: int, acquisition: int, stop: threading.Event) -> bool:
        while self._acquiring == acquisition and not stop.is_set():
            left_s = (instant_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                return True
            time.sleep(min(left_s, _LOOK_UP_S))
        return False

    def _expose(self, shot: Shot, seen: Image | None) -> None:
        self._frames += 1
        if seen is None:
            return
        memory = self._memory
        with memory.lock:
            left, top = int(memory.get("OffsetX")), int(memory.get("OffsetY"))
            width, height = int(memory.get("Width")), int(memory.get("Height"))
            pixel_format = int(memory.get("PixelFormat"))
            across, along = int(memory.get("BinningHorizontal")), int(memory.get("BinningVertical"))
            enabled = sorted(self._chunks) if memory.get("ChunkModeActive") else None
        cut = binned(seen, across, along)[top : top + height, left : left + width]
        ticks = self._ticks(shot.start_ns)
        whole = not self._faults.short_every or self._frames % self._faults.short_every
        payload = encoded(cut if whole else cut[: cut.shape[0] // 2], pixel_format)
        if enabled is not None:
            payload += self._chunk_data(enabled, len(payload), shot, ticks)
        picture = ImageLeader(
            block_id=self._frame_id,
            ticks=ticks,
            pixel_format=pixel_format,
            width=cut.shape[1],
            height=cut.shape[0],
            left=left,
            top=top,
            payload=payload,
            has_chunks=enabled is not None,
        )
        self._frame_id = self._frame_id % 0xFFFF + 1  # 16 bits, and 0 is not a valid number
        if self._faults.delay_ms:
            time.sleep(self._faults.delay_ms / 1000)
        self._stream.send(picture)

    def _chunk_data(self, enabled: list[int], image_bytes: int, shot: Shot, ticks: int) -> bytes:
        values = {
            "Timestamp": ticks,
            "FrameID": self._frame_id,
            # Latched in the middle of the exposure, to match the part's place in the picture.
            "EncoderValue": self._scene.count(shot.middle_ns),
            "LineStatusAll": shot.line_level,
        }
        data = struct.pack(">II", registers.IMAGE_CHUNK, image_bytes)
        for chunk in (CHUNKS[at] for at in enabled):
            data += values[chunk.name].to_bytes(chunk.size, "big", signed=chunk.signed)
            data += struct.pack(">II", chunk.chunk_id, chunk.size)
        return data
