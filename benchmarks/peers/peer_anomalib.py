"""anomalib's OpenVINOInferencer in place of ONNX Runtime, in the plain loop: it brings no cameras of its own.

The class feeds float RGB planes from 0 to 1 and takes one picture at a time. So our ONNX is converted once, with
OpenVINO's own steps from that input to the bytes that the model takes, and its output under a name that the class
passes on unchecked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import openvino
import peer_plain
import torch_ops  # noqa: F401 -- before the product imports torchvision
import work
from anomalib.deploy import OpenVINOInferencer


def converted(model: Path) -> Path:
    """Our model as the class wants it, kept in the environment's folder."""
    file = Path(sys.prefix) / f"{model.name}.xml"
    if not file.exists():
        graph = openvino.Core().read_model(model / "model.int8.onnx")
        steps = openvino.preprocess.PrePostProcessor(graph)
        steps.input().tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NCHW"))
        steps.input().model().set_layout(openvino.Layout("NHWC"))
        steps.input().preprocess().scale(1 / 255).convert_element_type(openvino.Type.u8)
        graph = steps.build()
        graph.output(0).get_tensor().set_names({"pred_mask"})
        openvino.save_model(graph, file, compress_to_fp16=False)
    return file


def main() -> None:
    """Until SIGTERM."""
    chosen = work.task()
    file = converted(chosen.model)
    os.chdir(sys.prefix)  # the class keeps its cache of compiled models where it runs
    inferencer = OpenVINOInferencer(file, device="CPU")

    def segment(images: list[work.Image]) -> work.Image:
        return np.concatenate([inferencer.predict(image).pred_mask for image in images])

    peer_plain.run(chosen, segment, workers=1, most=4)


if __name__ == "__main__":
    main()
