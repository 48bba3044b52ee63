"""Thin binding to Aravis 0.8 (LGPL, loaded when first used) with the functions that a camera driver needs.

Every call releases the GIL. Nothing here calls back into Python, because Aravis' own threads must never wait for the
interpreter. A `Device` and its `Stream` belong to one thread.
"""

from __future__ import annotations

import threading
from ctypes import byref, c_size_t, c_uint32, string_at
from typing import Any, Final, NamedTuple

from edge_inspector.cameras.aravis_library import GValue, call, text
from edge_inspector.cameras.features import Value
from edge_inspector.cameras.genicam_xml import examine
from edge_inspector.cameras.memory import Memory
from edge_inspector.errors import DeviceError
from edge_inspector.records import Image

SUCCESS: Final = 0
_WRONG_SIZE: Final = 5
STATUS_NAMES: Final = (
    "success",
    "cleared",
    "timed out",
    "packets missing",
    "wrong packet id",
    "wrong size",
    "still filling",
    "aborted",
)
_PAYLOAD_MAX: Final = 1 << 29
_SIDE_MAX: Final = 1 << 20
SOCKET_BUFFER_BYTES: Final = 4 << 20  # the automatic size loses frames; net.core.rmem_max must allow this one
_SOCKET_BUFFER_FIXED: Final = 0
_PACKET_SOCKET_DISABLED: Final = 1
_ADJUST_PACKET_SIZE_NEVER: Final = 0
_NO_REGISTER_CACHE: Final = 0
_TYPE_INT, _TYPE_UINT64, _TYPE_DOUBLE = 6 << 2, 11 << 2, 15 << 2


# The memory that Aravis writes to, by buffer. It is kept here, so that a missing `close` can never free it.
_lent: dict[int, Image] = {}
_listing = threading.Lock()


class DeviceInfo(NamedTuple):
    """One camera on the network or a bus. `address` is the best way to open it."""

    vendor: str
    model: str
    serial: str
    address: str
    protocol: str


class Buffer(NamedTuple):
    """One frame as it arrived. `memory` holds the pixels and, after them, the chunks."""

    pointer: int
    memory: Image
    status: int
    frame_id: int
    timestamp_ns: int
    pixel_format: int
    width: int
    height: int


def devices() -> list[DeviceInfo]:
    """All cameras that answer on networks and buses. Takes a second. Raises DeviceError without the library."""
    with _listing:
        call("arv_update_device_list")
        return [_info(index) for index in range(call("arv_get_n_devices"))]


class Device:
    """A camera under this program's control. `where` is an address, also one from `devices()`. Raises DeviceError."""

    def __init__(self, where: str) -> None:
        self._parser: int | None = None
        self._camera: int | None = None
        self._device = call("arv_open_device", where.encode())
        if not self._device:
            raise DeviceError(f"no camera at {where}")
        try:
            # Nothing may be read from the camera before this check, because Aravis follows its description for each
            # value.
            examine(_description(self._device))
            self._camera = call("arv_camera_new_with_device", self._device)
        finally:
            call("g_object_unref", self._device)  # from now on the camera object holds a reference
        if not self._camera:
            raise DeviceError(f"no camera at {where}")
        self.is_gige = bool(call("arv_camera_is_gv_device", self._camera))
        # Values are read back from the camera itself, not from a cache.
        call("arv_device_set_register_cache_policy", self._device, _NO_REGISTER_CACHE)
        if self.is_gige and not call("arv_gv_device_is_controller", self._device):
            self.close()
            raise DeviceError(f"another program controls the camera at {where}")

    def close(self) -> None:
        """Give up control of the camera. Close the stream first."""
        parser, self._parser = self._parser, None
        camera, self._camera = self._camera, None
        for each in (parser, camera):
            if each:
                call("g_object_unref", each)

    def has(self, feature: str) -> bool:
        """Whether the camera offers the feature now."""
        return bool(call("arv_device_is_feature_available", self._device, feature.encode()))

    def read(self, feature: str) -> Value:
        """The value of a feature in its own type."""
        name = feature.encode()
        kind = self._kind(feature)
        found: Value = call(f"arv_device_get_{kind}_feature_value", self._device, name)
        if kind == "string":
            return found.decode(errors="replace") if isinstance(found, bytes) else ""
        return bool(found) if kind == "boolean" else found

    def write(self, feature: str, value: Value) -> bool:
        """Set a feature, or execute it if it is a command. False for a command, because it cannot be read back."""
        kind = self._kind(feature)
        if kind == "command":
            call("arv_device_execute_command", self._device, feature.encode())
            return False
        try:
            given: Any = {"boolean": bool, "string": str, "float": float, "integer": int}[kind](value)
        except ValueError as error:
            raise DeviceError(f"{feature} is {kind}, not {value!r}") from error
        given = given.encode() if isinstance(given, str) else given
        call(f"arv_device_set_{kind}_feature_value", self._device, feature.encode(), given)
        return True

    def word(self, address: int) -> int:
        """Read one register of 32 bits."""
        word = c_uint32()
        call("arv_device_read_register", self._device, address, byref(word))
        return word.value

    def set_word(self, address: int, word: int) -> None:
        """Write one register of 32 bits."""
        call("arv_device_write_register", self._device, address, word)

    def set_packets(self, size: int | None, delay_ns: int | None) -> tuple[int, int]:
        """Set GigE Vision's packet size and the pause between packets. Returns the values that the camera uses."""
        if size is not None:
            call("arv_camera_gv_set_packet_size", self._camera, size)
            call("arv_camera_gv_set_packet_size_adjustment", self._camera, _ADJUST_PACKET_SIZE_NEVER)
        if delay_ns is not None:
            call("arv_camera_gv_set_packet_delay", self._camera, delay_ns)
        return (
            call("arv_camera_gv_get_packet_size", self._camera),
            call("arv_camera_gv_get_packet_delay", self._camera),
        )

    def open_stream(self, buffers: int, *, packet_socket: bool, frame_retention_ms: int | None = None) -> Stream:
        """A stream with this many buffers, of the size that the camera requires now."""
        if self.is_gige and not packet_socket:
            call("arv_camera_gv_set_stream_options", self._camera, _PACKET_SOCKET_DISABLED)
        pointer = call("arv_camera_create_stream", self._camera, None, None)
        if not pointer:
            raise DeviceError("the camera offers no stream")
        payload = int(self.read("PayloadSize"))
        if not 0 < payload <= _PAYLOAD_MAX:
            call("g_object_unref", pointer)
            raise DeviceError(f"the camera reports frames of {payload} bytes")
        stream = Stream(pointer, payload, buffers)
        if self.is_gige:
            stream.set_property("socket-buffer", _SOCKET_BUFFER_FIXED)
            stream.set_property("socket-buffer-size", SOCKET_BUFFER_BYTES)
            # If frames have only a few large packets, more than the usual quarter of them may have to be requested
            # again.
            stream.set_property("packet-request-ratio", 1.0)
            if frame_retention_ms is not None:
                stream.set_property("frame-retention", frame_retention_ms * 1000)
        stream.lend(buffers)
        return stream

    def start(self) -> None:
        """Start the acquisition."""
        call("arv_camera_start_acquisition", self._camera)

    def stop(self) -> None:
        """Stop the acquisition."""
        call("arv_camera_stop_acquisition", self._camera)

    def chunk(self, buffer: Buffer, feature: str) -> int:
        """An integer that came with the frame."""
        if not call("arv_buffer_has_chunks", buffer.pointer):
            raise DeviceError(f"the frame has no chunks, so it has no {feature}")
        if self._parser is None:
            self._parser = call("arv_camera_create_chunk_parser", self._camera)
        number: int = call("arv_chunk_parser_get_integer_value", self._parser, buffer.pointer, feature.encode())
        return number

    def _kind(self, feature: str) -> str:
        node = call("arv_device_get_feature", self._device, feature.encode())
        if not node:
            raise DeviceError(f"there is no feature {feature}")
        # Enumerations are strings and integers at the same time. People write the string.
        for kind in ("command", "boolean", "string", "float", "integer"):
            if call("g_type_check_instance_is_a", node, call(f"arv_gc_{kind}_get_type")):
                return kind
        raise DeviceError(f"{feature} has no value")


class Stream:
    """Frames in the order in which they were completed. If all buffers are full, newer frames are lost."""

    def __init__(self, pointer: int, payload: int, buffers: int) -> None:
        self._stream: int | None = pointer
        self._payload = payload
        self._mine: set[int] = set()
        self._memory = Memory(2 * buffers)  # for the buffers, and for as many pictures that are still in use

    def lend(self, buffers: int) -> None:
        """Give Aravis this many more buffers."""
        for _ in range(buffers):
            memory = self._memory.take(self._payload)
            pointer = call("arv_buffer_new", self._payload, memory.ctypes.data)
            _lent[pointer] = memory
            self._mine.add(pointer)
            call("arv_stream_push_buffer", self._stream, pointer)

    def pop(self, timeout_s: float) -> Buffer | None:
        """The next frame, complete or not. None if there is none in time. It must go to `keep` or `give_back`."""
        pointer = call("arv_stream_timeout_pop_buffer", self._stream, max(0, int(timeout_s * 1e6)))
        if not pointer:
            return None
        status = call("arv_buffer_get_status", pointer)
        read = status == SUCCESS
        pixel_format, width, height = (
            call(f"arv_buffer_get_image_{what}", pointer) if read else 0 for what in ("pixel_format", "width", "height")
        )
        # The frame's own information about its size has not been checked yet.
        if read and not (0 < width <= _SIDE_MAX and 0 < height <= _SIDE_MAX):
            status, read = _WRONG_SIZE, False
        # For Aravis a frame that ends early is a success. The rows below its end are from an earlier picture.
        if read and _received_bytes(pointer) < width * height * (pixel_format >> 16 & 0xFF) // 8:
            status = _WRONG_SIZE
        return Buffer(
            pointer=pointer,
            memory=_lent[pointer],
            status=status,
            frame_id=call("arv_buffer_get_frame_id", pointer),
            timestamp_ns=call("arv_buffer_get_timestamp", pointer),
            pixel_format=pixel_format,
            width=width,
            height=height,
        )

    def keep(self, buffer: Buffer) -> None:
        """The buffer's memory now belongs to everyone who refers to it. Aravis gets other memory instead."""
        self._mine.discard(buffer.pointer)
        _lent.pop(buffer.pointer)
        call("g_object_unref", buffer.pointer)
        self.lend(1)

    def give_back(self, buffer: Buffer) -> None:
        """Allow Aravis to write into the buffer again."""
        call("arv_stream_push_buffer", self._stream, buffer.pointer)

    def close(self) -> None:
        """End the receiving thread and free the buffers."""
        stream, self._stream = self._stream, None
        if stream:
            call("g_object_unref", stream)
        for pointer in self._mine:
            _lent.pop(pointer, None)
        self._mine.clear()

    def set_property(self, name: str, value: float) -> None:
        """Set a GObject property of the stream."""
        box = GValue()
        whole = isinstance(value, int)
        call("g_value_init", byref(box), _TYPE_INT if whole else _TYPE_DOUBLE)
        call("g_value_set_int" if whole else "g_value_set_double", byref(box), value)
        call("g_object_set_property", self._stream, name.encode(), byref(box))

    def counters(self) -> dict[str, int]:
        """Aravis' own statistics, such as missing and resent packets."""
        return {
            text(call("arv_stream_get_info_name", self._stream, index)).removeprefix("n_"): call(
                "arv_stream_get_info_uint64", self._stream, index
            )
            for index in range(call("arv_stream_get_n_infos", self._stream))
            if call("arv_stream_get_info_type", self._stream, index) == _TYPE_UINT64
        }


def _description(device: int) -> bytes:
    size = c_size_t()
    pointer = call("arv_device_get_genicam_xml", device, byref(size))
    return string_at(pointer, size.value) if pointer else b""


def _received_bytes(pointer: int) -> int:
    size = c_size_t()
    call("arv_buffer_get_data", pointer, byref(size))
    return size.value


def _info(index: int) -> DeviceInfo:
    texts = {what: text(call(f"arv_get_device_{what}", index)) for what in ("vendor", "model", "address", "protocol")}
    is_gige = texts["protocol"] == "GigEVision"
    # By name, Aravis takes the first interface that answers, and the frames may be sent to another one.
    address = texts["address"] if is_gige else text(call("arv_get_device_id", index))
    serial = text(call("arv_get_device_serial_nbr", index))
    return DeviceInfo(
        vendor=texts["vendor"], model=texts["model"], serial=serial, address=address, protocol=texts["protocol"]
    )
