"""Edge Inspector: real-time inspection beside a production line."""

import os

# Since version 1.29 the official ONNX Runtime sends usage data to its maker, unless this is set before the import:
# https://github.com/microsoft/onnxruntime/pull/27379. A station must send nothing that its owner did not ask for.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A picture file can be a thousand times smaller than its decoded picture. With this limit OpenCV checks the size first,
# for all formats, and decodes no picture with more pixels. OpenCV reads the limit when it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

__version__ = "0.1.0"
