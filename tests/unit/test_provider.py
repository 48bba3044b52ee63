"""A GPU that does not start is never silent: the real runtime, which has none, is made to offer one."""

import shutil
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from edge_inspector.segmenters.onnx import OnnxSegmenter
from edge_inspector.segmenters.two_stage import TwoStageSegmenter

TILE = Path(__file__).parents[2] / "models" / "tile-1.1"


def fell_back(folder: Path = TILE, **settings: object) -> bool:
    segmenter = OnnxSegmenter(folder, OnnxSegmenter.Settings(**settings))
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


def test_a_gpu_that_the_station_lists_and_nobody_installed_is_one(caplog: pytest.LogCaptureFixture) -> None:
    assert fell_back(providers=("tensorrt", "cpu"))
    assert "provider tensorrt: the installed onnxruntime offers only" in caplog.text


def test_a_gpu_that_the_model_has_no_file_for_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(TILE, tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    before, _, behind = text.partition("[files.tensorrt]")
    manifest.write_text(before + behind[behind.index("[limits") :], encoding="utf-8")
    offered = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    assert fell_back(tmp_path / "model")
    assert "has no files.tensorrt" in caplog.text


def test_a_first_stage_that_fell_back_is_not_hidden_by_the_second() -> None:
    stages = TwoStageSegmenter(TILE, TwoStageSegmenter.Settings(first=TILE.name, settings={"providers": ["cpu"]}))
    stages.open()
    assert not stages.info.fell_back
    stages._first.info = replace(stages._first.info, fell_back=True)
    assert stages.info.fell_back
    stages.close()
