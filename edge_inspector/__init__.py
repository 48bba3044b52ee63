"""Edge Inspector: real-time inspection beside a production line."""

import os

# From 1.29 on the official ONNX Runtime sends usage data to its maker unless this is set before it is imported:
# https://github.com/microsoft/onnxruntime/pull/27379. Nothing leaves a station that its owner did not ask for.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A picture can be a thousand times smaller than what it unfolds to: OpenCV looks at its size first, of all formats, and
# unfolds none of more pixels. Read when OpenCV is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

__version__ = "0.1.0"
