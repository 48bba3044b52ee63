"""anomalib's OpenVINOInferencer in place of ONNX Runtime, in the plain loop, because it has no cameras of its own.

The class feeds float RGB planes from 0 to 1 and takes one picture at a time. So our ONNX is converted once, with
OpenVINO's own steps from that input to the bytes that the model takes. The class returns one anomaly map for a picture,
so the masks of the classes are joined into one, below each other.
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
from openvino import opset13

_MASK_PX = 128


def converted(model: Path) -> Path:
    """Our model in the form that the class needs, kept in the environment's folder."""
    file = Path(sys.prefix) / f"{model.name}.xml"
    if not file.exists():
        graph = openvino.Core().read_model(model / "model.int8.onnx")
        steps = openvino.preprocess.PrePostProcessor(graph)
        steps.input().tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NCHW"))
        steps.input().model().set_layout(openvino.Layout("NHWC"))
        steps.input().preprocess().scale(1 / 255).convert_element_type(openvino.Type.u8)
        graph = steps.build()
        masks = graph.output(0).get_node().input(0).get_source_output()
        stacked = opset13.reshape(masks, np.array([0, -1, _MASK_PX]), special_zero=True)
        graph = openvino.Model([stacked.output(0)], graph.get_parameters(), model.name)
        graph.output(0).get_tensor().set_names({"anomaly_map"})
        openvino.save_model(graph, file, compress_to_fp16=False)
    return file


def main() -> None:
    """Run until SIGTERM."""
    chosen = work.task()
    file = converted(chosen.model)
    os.chdir(sys.prefix)  # the class keeps its cache of compiled models where it runs
    inferencer = OpenVINOInferencer(file, device="CPU")

    def segment(images: list[work.Image]) -> work.Image:
        maps = [np.asarray(inferencer.predict(image).anomaly_map) for image in images]
        return np.concatenate(maps).reshape(len(images), -1, _MASK_PX, _MASK_PX)

    peer_plain.run(chosen, segment, workers=1, most=4)


if __name__ == "__main__":
    main()
