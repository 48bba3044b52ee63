"""The names of the drivers. Apart from this table, only a driver's own file knows its name.

It imports nothing, so that the command line can list names without loading a driver.
"""

from __future__ import annotations

from typing import Final

CAMERAS = {
    "simulated": "edge_inspector.simulation.camera:SimulatedCamera",
    "folder": "edge_inspector.cameras.folder:FolderCamera",
    "opencv": "edge_inspector.cameras.opencv:OpenCvCamera",
    "genicam": "edge_inspector.cameras.genicam:GenicamCamera",
    "basler": "edge_inspector.cameras.basler:BaslerCamera",
    "gentl": "edge_inspector.cameras.gentl:GentlCamera",
}
ENCODERS = {
    "simulated": "edge_inspector.simulation.encoder:SimulatedEncoder",
    "s7": "edge_inspector.encoders.s7:S7Encoder",
    "modbus": "edge_inspector.encoders.modbus:ModbusEncoder",
}
SEGMENTERS = {
    "simulated": "edge_inspector.simulation.segmenter:SimulatedSegmenter",
    "onnx": "edge_inspector.segmenters.onnx:OnnxSegmenter",
    "openvino": "edge_inspector.segmenters.openvino:OpenVinoSegmenter",
    "two-stage": "edge_inspector.segmenters.two_stage:TwoStageSegmenter",
}
PLC_LINKS = {
    "s7": "edge_inspector.plcs.s7:S7Link",
    "modbus": "edge_inspector.plcs.modbus:ModbusLink",
    "mqtt": "edge_inspector.plcs.mqtt:MqttLink",
}
_BY_OPENCV = 'for USB cameras, network streams and video files write driver = "opencv"'
_BY_GENICAM = 'for GigE Vision and USB3 Vision cameras write driver = "genicam"'
_PROFILE = "for any other PLC let it serve Modbus TCP: docs/plc.md has the registers"
OTHER_WORDS: dict[str, dict[str, str]] = {
    "cameras": {
        **dict.fromkeys(("usb", "uvc", "v4l2", "webcam", "rtsp", "onvif", "ip", "mjpeg", "http", "video"), _BY_OPENCV),
        **dict.fromkeys(("gige", "gigevision", "gige-vision", "usb3", "u3v", "usb3-vision", "aravis"), _BY_GENICAM),
        **dict.fromkeys(("pylon", "pypylon"), 'for Basler\'s own driver write driver = "basler"'),
        **dict.fromkeys(("harvesters", "cti"), 'for a maker\'s GenTL producer write driver = "gentl"'),
        **dict.fromkeys(("file", "files", "images", "pictures", "png"), 'for pictures write driver = "folder"'),
    },
    "encoders": {
        **dict.fromkeys(("siemens", "snap7", "s7-1200", "s7-1500"), 'for Siemens write driver = "s7"'),
        **dict.fromkeys(("opcua", "opc-ua", "ethernetip", "ethernet-ip", "ads", "beckhoff", "allen-bradley"), _PROFILE),
        **dict.fromkeys(("time", "none"), "an encoder must be: without one nobody knows where a part is"),
    },
    "segmenters": {"tensorrt": 'TensorRT is a provider: write driver = "onnx"'},
    "plcs": {
        **dict.fromkeys(("siemens", "snap7", "s7-1200", "s7-1500"), 'for Siemens write driver = "s7"'),
        **dict.fromkeys(("opcua", "opc-ua", "ethernetip", "ethernet-ip", "ads", "beckhoff", "allen-bradley"), _PROFILE),
        **dict.fromkeys(("mosquitto", "broker"), 'for a broker write driver = "mqtt"'),
    },
}
"""By family: other names that people use for a driver, and what to write instead."""

FAMILIES = {"cameras": CAMERAS, "encoders": ENCODERS, "segmenters": SEGMENTERS, "plcs": PLC_LINKS}

RUNTIMES: Final = {"onnx": "onnxruntime", "openvino": "openvino"}
"""The segmenters that run a model folder, and the package that each one needs. The quicker one is last."""
DEFAULT_RUNTIME: Final = "onnx"
"""The segmenter of a station file that names none."""
