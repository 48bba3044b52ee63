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
    "s7": "edge_inspector.plc.s7:S7Encoder",
    "modbus": "edge_inspector.plc.modbus:ModbusEncoder",
    "s7commplus": "edge_inspector.plc.s7commplus:S7CommPlusEncoder",
    "s7-simple": "edge_inspector.plc.s7_simple:S7SimpleEncoder",
    "modbus-simple": "edge_inspector.plc.modbus_simple:ModbusSimpleEncoder",
    "camera-chunk": "edge_inspector.encoders.camera_chunk:CameraChunkEncoder",
    "constant-speed": "edge_inspector.encoders.constant_speed:ConstantSpeedEncoder",
    "no-belt": "edge_inspector.encoders.no_belt:NoBelt",
}
SEGMENTERS = {
    "simulated": "edge_inspector.simulation.segmenter:SimulatedSegmenter",
    "onnx": "edge_inspector.segmenters.onnx:OnnxSegmenter",
    "openvino": "edge_inspector.segmenters.openvino:OpenVinoSegmenter",
    "kserve": "edge_inspector.segmenters.kserve:KserveSegmenter",
    "two-stage": "edge_inspector.segmenters.two_stage:TwoStageSegmenter",
    "untaught": "edge_inspector.segmenters.untaught:UntaughtSegmenter",
}
PLC_LINKS = {
    "s7": "edge_inspector.plc.s7:S7Link",
    "modbus": "edge_inspector.plc.modbus:ModbusLink",
    "s7commplus": "edge_inspector.plc.s7commplus:S7CommPlusLink",
    "s7-simple": "edge_inspector.plc.s7_simple:S7SimpleLink",
    "modbus-simple": "edge_inspector.plc.modbus_simple:ModbusSimpleLink",
    "modbus-output": "edge_inspector.plc.modbus_output:ModbusOutput",
    "mqtt": "edge_inspector.mqtt.link:MqttLink",
}
_BY_OPENCV = 'For USB cameras, network streams and video files write driver = "opencv"'
_BY_GENICAM = 'For GigE Vision and USB3 Vision cameras write driver = "genicam"'
_PROFILE = "For any other PLC, let the PLC serve Modbus TCP. The registers are in docs/plc.md"
OTHER_WORDS: dict[str, dict[str, str]] = {
    "cameras": {
        **dict.fromkeys(("usb", "uvc", "v4l2", "webcam", "rtsp", "onvif", "ip", "mjpeg", "http", "video"), _BY_OPENCV),
        **dict.fromkeys(("gige", "gigevision", "gige-vision", "usb3", "u3v", "usb3-vision", "aravis"), _BY_GENICAM),
        **dict.fromkeys(("pylon", "pypylon"), 'For Basler\'s own driver write driver = "basler"'),
        **dict.fromkeys(("harvesters", "cti"), 'For a maker\'s GenTL producer write driver = "gentl"'),
        **dict.fromkeys(("file", "files", "images", "pictures", "png"), 'For pictures write driver = "folder"'),
    },
    "encoders": {
        **dict.fromkeys(("siemens", "snap7", "s7-1200", "s7-1500"), 'For Siemens write driver = "s7"'),
        **dict.fromkeys(("opcua", "opc-ua", "ethernetip", "ethernet-ip", "ads", "beckhoff", "allen-bradley"), _PROFILE),
        **dict.fromkeys(("time", "none", "clock"), 'Without an encoder write driver = "constant-speed"'),
        **dict.fromkeys(("camera", "chunk"), 'For an encoder wired to a camera write driver = "camera-chunk"'),
    },
    "segmenters": {
        "tensorrt": 'TensorRT is a provider: write driver = "onnx"',
        **dict.fromkeys(("triton", "grpc", "remote", "ovms"), 'for an inference server write driver = "kserve"'),
    },
    "plcs": {
        **dict.fromkeys(("siemens", "snap7", "s7-1200", "s7-1500"), 'For Siemens write driver = "s7"'),
        **dict.fromkeys(("opcua", "opc-ua", "ethernetip", "ethernet-ip", "ads", "beckhoff", "allen-bradley"), _PROFILE),
        **dict.fromkeys(("mosquitto", "broker"), 'For a broker write driver = "mqtt"'),
    },
}
"""By family: other names that people use for a driver, and what to write instead."""

FAMILIES = {"cameras": CAMERAS, "encoders": ENCODERS, "segmenters": SEGMENTERS, "plcs": PLC_LINKS}

RUNTIMES: Final = {"onnx": "onnxruntime", "openvino": "openvino"}
"""The segmenters that run a model folder, and the package that each one needs. The quicker one is last."""
DEFAULT_RUNTIME: Final = "onnx"
UNTAUGHT: Final = "untaught"
"""The segmenter of a station that has no model yet, for `edge-inspector collect`."""
"""The segmenter of a station file that names none."""
