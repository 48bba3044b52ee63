"""The simulated camera's bootstrap registers and features, in memory as GVCP clients see them.

Everything is big-endian and 4 bytes wide except texts. A 64-bit chunk is never a register.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import IntEnum
from typing import Final

from edge_inspector.simulation.gige.formats import FORMATS, MONO8

VERSION: Final = 0x0000
DEVICE_MODE: Final = 0x0004
MAC_LOW: Final = 0x000C
IP_CONFIGURATION: Final = (0x0010, 0x0014)
CURRENT_IP: Final = 0x0024
SUBNET_MASK: Final = 0x0034
VENDOR: Final = 0x0048
MODEL: Final = 0x0068
DEVICE_VERSION: Final = 0x0088
SERIAL: Final = 0x00D8
DISCOVERY_BYTES: Final = 0x00F8
XML_URL: Final = 0x0200
INTERFACES: Final = 0x0600
STREAM_CHANNELS: Final = 0x0904
CAPABILITY: Final = 0x0934
HEARTBEAT_TIMEOUT_MS: Final = 0x0938
TICKS_PER_SECOND: Final = 0x0940
TIMESTAMP_CONTROL: Final = 0x0944
TIMESTAMP_LATCHED: Final = 0x0948
PRIVILEGE: Final = 0x0A00
STREAM_PORT: Final = 0x0D00
PACKET_SIZE: Final = 0x0D04
PACKET_DELAY: Final = 0x0D08
STREAM_IP: Final = 0x0D18
STREAM_SOURCE_PORT: Final = 0x0D1C

FEATURES_AT: Final = 0x10000
XML_AT: Final = 0x20000
SIZE: Final = 0x40000

CAPABILITY_BASIC: Final = 0x3  # several registers per command, memory writes
CAPABILITY_RESEND: Final = 0x4
CAPABILITY_SERIAL: Final = 1 << 30

_WRITABLE = {HEARTBEAT_TIMEOUT_MS, TIMESTAMP_CONTROL, PRIVILEGE, STREAM_PORT, PACKET_SIZE, PACKET_DELAY, STREAM_IP}


class Status(IntEnum):
    """GVCP's status codes for refused commands."""

    NOT_IMPLEMENTED = 0x8001
    INVALID_PARAMETER = 0x8002
    INVALID_ADDRESS = 0x8003
    WRITE_PROTECT = 0x8004
    BAD_ALIGNMENT = 0x8005
    ACCESS_DENIED = 0x8006


class RefusedError(Exception):
    """The command is answered with this status."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(status.name)


@dataclass(frozen=True, slots=True)
class Feature:
    """One GenICam feature and its register.

    `kind` is integer, float, enumeration, boolean or command. With `clips`, a value out of range silently becomes the
    nearest possible one, as in many cameras. Without it, the value is refused.
    """

    name: str
    kind: str
    default: float = 0
    _: KW_ONLY
    low: float = 0
    high: float = 0xFFFFFFFF
    step: int = 1
    writable: bool = True
    clips: bool = False
    signed: bool = False
    entries: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Data that may follow the picture: its GenICam name, id and size."""

    name: str
    chunk_id: int
    size: int
    signed: bool = False


TRIGGER_SOFTWARE: Final = 0
TRIGGER_LINE: Final = 1
TRIGGER_ENCODER: Final = 2
FRAME_START: Final = 0
LINE_START: Final = 1

CHUNKS: Final = (
    Chunk("Timestamp", 0x101, 8),
    Chunk("FrameID", 0x102, 8),
    Chunk("EncoderValue", 0x103, 4, signed=True),
    Chunk("LineStatusAll", 0x104, 4),
)
IMAGE_CHUNK: Final = 0x100


def features(height: int, width: int) -> tuple[Feature, ...]:
    """The features of a camera with a sensor of this size. Light is not simulated: gain etc. are only stored."""
    return (
        Feature("SensorWidth", "integer", width, writable=False),
        Feature("SensorHeight", "integer", height, writable=False),
        Feature("Width", "integer", width, low=16, high=width, step=4),
        # a line-scan frame is as high as one likes
        Feature("Height", "integer", height, low=2, high=16 * height, step=2),
        Feature("OffsetX", "integer", 0, low=0, high=width - 16, step=2),
        Feature("OffsetY", "integer", 0, low=0, high=height - 2, step=2),
        Feature("BinningHorizontal", "integer", 1, low=1, high=4),
        Feature("BinningVertical", "integer", 1, low=1, high=4),
        Feature("PixelFormat", "enumeration", MONO8, entries=tuple((name, FORMATS[name][0]) for name in FORMATS)),
        Feature("UserSetSelector", "enumeration", entries=(("Default", 0),)),
        Feature("UserSetLoad", "command"),
        Feature("AcquisitionMode", "enumeration", entries=(("Continuous", 0),)),
        Feature("AcquisitionStart", "command"),
        Feature("AcquisitionStop", "command"),
        Feature("AcquisitionFrameRate", "float", 10.0, low=0.1, high=1000.0),
        Feature("TriggerSelector", "enumeration", entries=(("FrameStart", FRAME_START), ("LineStart", LINE_START))),
        Feature("TriggerMode", "enumeration", entries=(("Off", 0), ("On", 1))),
        Feature(
            "TriggerSource",
            "enumeration",
            entries=(("Software", TRIGGER_SOFTWARE), ("Line0", TRIGGER_LINE), ("Encoder0", TRIGGER_ENCODER)),
        ),
        Feature("TriggerDivider", "integer", 1, low=1, high=1000),
        Feature("TriggerActivation", "enumeration", entries=(("RisingEdge", 0), ("FallingEdge", 1))),
        Feature("TriggerDelay", "float", 0.0, low=0.0, high=1e6),
        Feature("TriggerSoftware", "command"),
        Feature("ExposureTime", "float", 200.0, low=10.0, high=1e6),
        Feature("Gain", "float", 0.0, low=0.0, high=24.0, clips=True),
        Feature("BlackLevel", "float", 0.0, low=0.0, high=255.0),
        Feature("PtpEnable", "boolean"),
        Feature("DeviceTemperature", "float", 41.5, writable=False),
        Feature("EncoderValue", "integer", 0, low=-(2**31), high=2**31 - 1, writable=False, signed=True),
        Feature("LineStatusAll", "integer", writable=False),
        Feature("PayloadSize", "integer", writable=False),
        Feature("ChunkModeActive", "boolean"),
        Feature("ChunkSelector", "enumeration", entries=tuple((chunk.name, at) for at, chunk in enumerate(CHUNKS))),
        Feature("ChunkEnable", "boolean"),
    )


class Registers:
    """Thread-safe. `live` registers are computed at each read. `watched` ones call a function at each write.

    `locked` has a function per feature. The feature refuses the values for which it is true.
    """

    def __init__(self, offered: tuple[Feature, ...], xml: bytes) -> None:
        self.lock = threading.RLock()
        self.live: dict[str, Callable[[], float]] = {}
        self.watched: dict[int | str, Callable[[int], None]] = {}
        self.locked: dict[str, Callable[[float], bool]] = {}
        self._memory = bytearray(SIZE)
        self._features = {FEATURES_AT + 4 * at: feature for at, feature in enumerate(offered)}
        self._address = {feature.name: address for address, feature in self._features.items()}
        for address, feature in self._features.items():
            self._store(address, feature, feature.default)
        self._memory[XML_AT : XML_AT + len(xml)] = xml
        self.set_text(XML_URL, f"Local:edge-inspector.xml;{XML_AT:x};{len(xml):x}")

    def address_of(self, name: str) -> int:
        """The address of the feature."""
        return self._address[name]

    def get(self, name: str) -> float:
        """The value of the feature."""
        feature = self._features[self._address[name]]
        value: float = struct.unpack_from(_layout(feature), self._memory, self._address[name])[0]
        return value

    def put(self, name: str, value: float) -> None:
        """Set the feature from inside the camera."""
        with self.lock:
            self._store(self._address[name], self._features[self._address[name]], value)

    def word(self, address: int) -> int:
        """A bootstrap register."""
        value: int = struct.unpack_from(">I", self._memory, address)[0]
        return value

    def set_words(self, words: Mapping[int, int]) -> None:
        """Set bootstrap registers from inside the camera."""
        with self.lock:
            for address, value in words.items():
                struct.pack_into(">I", self._memory, address, value & 0xFFFFFFFF)

    def set_text(self, address: int, text: str) -> None:
        """Set a text from inside the camera."""
        self._memory[address : address + len(text) + 1] = text.encode() + b"\0"

    def read(self, address: int, size: int) -> bytes:
        """Read as a client. Raises RefusedError."""
        if address % 4 or size % 4:
            raise RefusedError(Status.BAD_ALIGNMENT)
        if address + size > SIZE:
            raise RefusedError(Status.INVALID_ADDRESS)
        with self.lock:
            for name, value in self.live.items():
                if address <= self._address[name] < address + size:
                    self.put(name, value())
            return bytes(self._memory[address : address + size])

    def write(self, address: int, word: int) -> None:
        """Write as a client. Raises RefusedError."""
        with self.lock:
            feature = self._features.get(address)
            if feature is not None:
                self._store(address, feature, self._accepted(feature, word))
            elif address in _WRITABLE:
                struct.pack_into(">I", self._memory, address, word)
            else:
                raise RefusedError(Status.WRITE_PROTECT)
            watcher = self.watched.get(feature.name if feature else address)
            if watcher is not None:
                watcher(word)

    def _accepted(self, feature: Feature, word: int) -> float:
        if not feature.writable:
            raise RefusedError(Status.WRITE_PROTECT)
        value: float = struct.unpack(_layout(feature), struct.pack(">I", word))[0]
        if feature.kind == "enumeration":
            fits = value in [number for _, number in feature.entries]
        else:
            fits = feature.low <= value <= feature.high and (feature.kind == "float" or value % feature.step == 0)
        if feature.name in self.locked and self.locked[feature.name](value):
            raise RefusedError(Status.ACCESS_DENIED)
        if not fits and feature.clips:
            return min(max(value, feature.low), feature.high)
        if not fits:
            raise RefusedError(Status.INVALID_PARAMETER)
        return value

    def _store(self, address: int, feature: Feature, value: float) -> None:
        packed = value if feature.kind == "float" else int(value)
        struct.pack_into(_layout(feature), self._memory, address, packed)


def _layout(feature: Feature) -> str:
    return ">f" if feature.kind == "float" else ">i" if feature.signed else ">I"
