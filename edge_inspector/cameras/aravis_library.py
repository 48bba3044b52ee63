"""Aravis' library as Python functions. It is loaded when first used. Errors are raised, and no memory leaks."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any, Final

from edge_inspector.errors import DeviceError
from edge_inspector.texts import printable

LIBRARY: Final = "libaravis-0.8.so.0"


class _GError(ctypes.Structure):
    _fields_ = (("domain", c_uint32), ("code", c_int), ("message", c_char_p))


class GValue(ctypes.Structure):
    """GObject's container for the value of a property."""

    _fields_ = (("type", c_size_t), ("data", c_uint64 * 2))


# Name: result, arguments. The functions in `_FAILING` also take a GError.
_PLAIN: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "arv_update_device_list": (None, ()),
    "arv_get_n_devices": (c_uint, ()),
    "arv_get_device_id": (c_char_p, (c_uint,)),
    "arv_get_device_vendor": (c_char_p, (c_uint,)),
    "arv_get_device_model": (c_char_p, (c_uint,)),
    "arv_get_device_serial_nbr": (c_char_p, (c_uint,)),
    "arv_get_device_address": (c_char_p, (c_uint,)),
    "arv_get_device_protocol": (c_char_p, (c_uint,)),
    "arv_camera_get_device": (c_void_p, (c_void_p,)),
    "arv_camera_is_gv_device": (c_int, (c_void_p,)),
    "arv_camera_gv_set_stream_options": (None, (c_void_p, c_int)),
    "arv_camera_gv_set_packet_size_adjustment": (None, (c_void_p, c_int)),
    "arv_camera_create_chunk_parser": (c_void_p, (c_void_p,)),
    "arv_gv_device_is_controller": (c_int, (c_void_p,)),
    "arv_device_get_genicam_xml": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "arv_device_get_feature": (c_void_p, (c_void_p, c_char_p)),
    "arv_device_set_register_cache_policy": (None, (c_void_p, c_int)),
    "arv_gc_command_get_type": (c_size_t, ()),
    "arv_gc_boolean_get_type": (c_size_t, ()),
    "arv_gc_string_get_type": (c_size_t, ()),
    "arv_gc_float_get_type": (c_size_t, ()),
    "arv_gc_integer_get_type": (c_size_t, ()),
    "arv_buffer_new": (c_void_p, (c_size_t, c_void_p)),
    "arv_buffer_get_status": (c_int, (c_void_p,)),
    "arv_buffer_get_data": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "arv_buffer_get_frame_id": (c_uint64, (c_void_p,)),
    "arv_buffer_get_timestamp": (c_uint64, (c_void_p,)),
    "arv_buffer_get_image_pixel_format": (c_uint32, (c_void_p,)),
    "arv_buffer_get_image_width": (c_int, (c_void_p,)),
    "arv_buffer_get_image_height": (c_int, (c_void_p,)),
    "arv_buffer_has_chunks": (c_int, (c_void_p,)),
    "arv_stream_push_buffer": (None, (c_void_p, c_void_p)),
    "arv_stream_timeout_pop_buffer": (c_void_p, (c_void_p, c_uint64)),
    "arv_stream_get_n_infos": (c_uint, (c_void_p,)),
    "arv_stream_get_info_name": (c_char_p, (c_void_p, c_uint)),
    "arv_stream_get_info_type": (c_size_t, (c_void_p, c_uint)),
    "arv_stream_get_info_uint64": (c_uint64, (c_void_p, c_uint)),
    "g_clear_error": (None, (c_void_p,)),
    "g_object_unref": (None, (c_void_p,)),
    "g_object_set_property": (None, (c_void_p, c_char_p, c_void_p)),
    "g_type_check_instance_is_a": (c_int, (c_void_p, c_size_t)),
    "g_value_init": (c_void_p, (c_void_p, c_size_t)),
    "g_value_set_int": (None, (c_void_p, c_int)),
    "g_value_set_double": (None, (c_void_p, c_double)),
}
_FAILING: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "arv_open_device": (c_void_p, (c_char_p,)),
    "arv_camera_new_with_device": (c_void_p, (c_void_p,)),
    "arv_camera_create_stream": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "arv_camera_start_acquisition": (None, (c_void_p,)),
    "arv_camera_stop_acquisition": (None, (c_void_p,)),
    "arv_camera_gv_set_packet_size": (None, (c_void_p, c_int)),
    "arv_camera_gv_get_packet_size": (c_uint, (c_void_p,)),
    "arv_camera_gv_set_packet_delay": (None, (c_void_p, c_int64)),
    "arv_camera_gv_get_packet_delay": (c_int64, (c_void_p,)),
    "arv_device_is_feature_available": (c_int, (c_void_p, c_char_p)),
    "arv_device_execute_command": (None, (c_void_p, c_char_p)),
    "arv_device_set_boolean_feature_value": (None, (c_void_p, c_char_p, c_int)),
    "arv_device_get_boolean_feature_value": (c_int, (c_void_p, c_char_p)),
    "arv_device_set_string_feature_value": (None, (c_void_p, c_char_p, c_char_p)),
    "arv_device_get_string_feature_value": (c_char_p, (c_void_p, c_char_p)),
    "arv_device_set_float_feature_value": (None, (c_void_p, c_char_p, c_double)),
    "arv_device_get_float_feature_value": (c_double, (c_void_p, c_char_p)),
    "arv_device_set_integer_feature_value": (None, (c_void_p, c_char_p, c_int64)),
    "arv_device_get_integer_feature_value": (c_int64, (c_void_p, c_char_p)),
    "arv_device_read_register": (c_int, (c_void_p, c_uint64, POINTER(c_uint32))),
    "arv_device_write_register": (c_int, (c_void_p, c_uint64, c_uint32)),
    "arv_chunk_parser_get_integer_value": (c_int64, (c_void_p, c_void_p, c_char_p)),
}


def load() -> None:
    """Load the library. Raises DeviceError if it is missing."""
    _functions()


def call(name: str, *arguments: Any) -> Any:
    """Call the function with this name. Raises DeviceError with the text of its GError."""
    return _functions()[name](*arguments)


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DeviceError(f"{LIBRARY} is missing: apt install libaravis-0.8-0") from error
    found: dict[str, Callable[..., Any]] = {}
    for name, (result, arguments) in (_PLAIN | _FAILING).items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = (*arguments, POINTER(POINTER(_GError))) if name in _FAILING else arguments
        found[name] = _raising(function, library.g_clear_error) if name in _FAILING else function
    return found


def _raising(function: Callable[..., Any], clear: Callable[..., Any]) -> Callable[..., Any]:
    def raising(*arguments: Any) -> Any:
        error = POINTER(_GError)()
        result = function(*arguments, byref(error))
        if error:
            message = text(error.contents.message)
            clear(byref(error))
            raise DeviceError(message)
        return result

    return raising


def text(found: bytes | None) -> str:
    """The text of a C string without control characters. Empty for none."""
    return printable((found or b"").decode(errors="replace"))
