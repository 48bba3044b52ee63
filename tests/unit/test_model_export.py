import hashlib
from pathlib import Path

import pytest

from edge_inspector.cli import main

TILE = Path(__file__).parents[2] / "models" / "tile-1.1"


def test_a_repository_has_each_precision_with_the_hash_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "export", str(TILE), "--to", "triton", "--out", str(tmp_path)]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    for precision in ("int8", "fp32"):
        folder = tmp_path / f"tile-1.1-{precision}"
        content = (folder / "1" / "model.onnx").read_bytes()
        assert content == (TILE / f"model.{precision}.onnx").read_bytes()
        config = (folder / "config.pbtxt").read_text()
        assert hashlib.sha256(content).hexdigest() in config
        assert f'name: "tile-1.1-{precision}"' in config
        assert 'name: "image" data_type: TYPE_UINT8 dims: [ 256, 256, 3 ]' in config
        assert 'name: "mask" data_type: TYPE_UINT8 dims: [ 5, 128, 128 ]' in config
        assert "KIND_CPU" in config


def test_on_a_gpu_tensorrt_gets_its_own_file(tmp_path: Path) -> None:
    words = ["model", "export", str(TILE), "--to", "triton", "--out", str(tmp_path), "--gpu", "--instances", "2"]
    assert main(words) == 0
    config = (tmp_path / "tile-1.1-int8" / "config.pbtxt").read_text()
    assert (tmp_path / "tile-1.1-int8" / "1" / "model.onnx").read_bytes() == (TILE / "model.trt.onnx").read_bytes()
    assert "KIND_GPU count: 2" in config
    assert '"precision_mode" value: "INT8"' in config


def test_a_folder_that_cannot_be_written_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["model", "export", str(TILE), "--to", "triton", "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
