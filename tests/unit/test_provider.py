"""A GPU that does not start is never silent: the real runtime, which has none, is made to offer one."""

from pathlib import Path

import onnxruntime
import pytest

from edge_inspector.segmenters.onnx import OnnxSegmenter

MODEL = Path(__file__).parents[2] / "models" / "tile-1.1"


def fell_back(**settings: object) -> bool:
    segmenter = OnnxSegmenter(MODEL, OnnxSegmenter.Settings(**settings))
    segmenter.open()
    try:
        assert segmenter.info.provider == "cpu"
        return segmenter.info.fell_back
    finally:
        segmenter.close()


def test_a_runtime_for_cpus_on_a_cpu_is_no_fallback() -> None:
    assert not fell_back()


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_is_offered_and_does_not_start_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    assert fell_back(providers=("cuda", "cpu"))
    assert not fell_back(providers=("cpu",))
