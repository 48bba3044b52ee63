"""The manifest: what is written is what is read, and every fault is told at once."""

import hashlib
from pathlib import Path

import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.segmenters.manifest import read_manifest

WEIGHTS = b"weights"
GOOD = f"""
format = 1
name = "tile"
version = "1.0"
licence = "Apache-2.0"
description = "ceramic tiles"
classes = ["crack", "stain"]
[input]
height = 256
width = 320
channels = 3
[output]
stride = 2
[files.int8]
path = "model.int8.onnx"
sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"
[limits.crack]
min_confidence = 0.4
min_area_px = 12
[calibration]
images = 64
method = "minmax"
[[scores]]
data = "test"
recall = 0.98
[[scores]]
data = "line"
recall = 0.97
[training]
epochs = 30
"""


def faults(folder: Path, text: str) -> dict[str, str]:
    """Key path to message."""
    (folder / "manifest.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        read_manifest(folder)
    prefix = f"{folder / 'manifest.toml'}: "
    return {fault.where.removeprefix(prefix): fault.what for fault in raised.value.faults}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifest.toml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "model.int8.onnx").write_bytes(WEIGHTS)
    return tmp_path


def test_good(folder: Path) -> None:
    manifest = read_manifest(folder)

    assert manifest.classes == ("crack", "stain")
    assert (manifest.input.height, manifest.input.width, manifest.input.channels) == (256, 320, 3)
    assert manifest.limits["crack"].min_area_px == 12
    assert manifest.calibration["method"] == "minmax"
    assert [score["recall"] for score in manifest.scores] == [0.98, 0.97]
    assert manifest.training == {"epochs": 30}


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"manifest\.toml: there is no such file"):
        read_manifest(tmp_path / "nowhere")


def test_unreadable(folder: Path) -> None:
    (folder / "manifest.toml").write_bytes(b"name = \xff")
    with pytest.raises(ConfigError, match="is not TOML: line 1 has a character that is not UTF-8"):
        read_manifest(folder)
    (folder / "manifest.toml").write_text("name = $", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"is not TOML: line 1: Invalid value: name = \$"):
        read_manifest(folder)


def test_all_faults_at_once(folder: Path) -> None:
    text = (
        GOOD.replace("format = 1", "format = 2")
        .replace('name = "tile"', 'nome = "tile"')
        .replace("channels = 3", "channels = 4")
        .replace("limits.crack", "limits.crock")
        .replace("min_confidence = 0.4", "min_confidence = 1.4")
        .replace(hashlib.sha256(WEIGHTS).hexdigest(), "0" * 64)
    )
    found = faults(folder, text)

    assert set(found) == {
        "format",
        "nome",
        "input.channels",
        "limits.crock.min_confidence",
        "files.int8.sha256",
    }
    assert hashlib.sha256(WEIGHTS).hexdigest() in found["files.int8.sha256"]


@pytest.mark.parametrize("name", ["/elsewhere/tile", "..\\\\tile", "ti\\nle", ""])
def test_a_name_that_is_no_part_of_a_folders_name(folder: Path, name: str) -> None:
    """Engines that TensorRT builds would lie outside their cache."""
    assert list(faults(folder, GOOD.replace('name = "tile"', f'name = "{name}"'))) == ["name"]
    assert list(faults(folder, GOOD.replace('version = "1.0"', f'version = "{name}"'))) == ["version"]


@pytest.mark.parametrize("area", ["inf", "nan", "-1"])
def test_an_area_without_end_is_no_limit(folder: Path, area: str) -> None:
    assert list(faults(folder, GOOD.replace("min_area_px = 12", f"min_area_px = {area}"))) == [
        "limits.crack.min_area_px"
    ]


def test_limits_of_an_unknown_class(folder: Path) -> None:
    assert faults(folder, GOOD.replace("limits.crack", "limits.crock")) == {"limits": "not among the classes: crock"}


def test_missing_file(folder: Path) -> None:
    (folder / "model.int8.onnx").unlink()
    assert faults(folder, GOOD) == {"files.int8.path": "model.int8.onnx is missing"}


def test_a_model_file_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.suffix == ".onnx":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert faults(folder, GOOD)["files.int8.sha256"].startswith("model.int8.onnx cannot be read: Permission denied")


def test_weights_in_a_file_that_no_hash_covers(folder: Path) -> None:
    """As torch's newer exporter writes them: there, they could be exchanged without a word."""
    tensor = b"B\x07weightsj\x1b\n\x08location\x12\x0fmodel.onnx.datap\x01"
    (folder / "model.int8.onnx").write_bytes(tensor)
    found = faults(folder, GOOD.replace(hashlib.sha256(WEIGHTS).hexdigest(), hashlib.sha256(tensor).hexdigest()))
    assert found == {
        "files.int8": "model.int8.onnx keeps weights in another file, which no hash covers: save it as one file"
    }


@pytest.mark.parametrize("path", ["../model.int8.onnx", "/etc/hostname"])
def test_path_that_leaves_the_folder(folder: Path, path: str) -> None:
    found = faults(folder, GOOD.replace("model.int8.onnx", path))
    assert found == {"files.int8.path": f"{path} is outside the model's folder"}


def test_link_that_leaves_the_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "model.onnx"
    elsewhere.write_bytes(WEIGHTS)
    (folder / "model.int8.onnx").unlink()
    (folder / "model.int8.onnx").symlink_to(elsewhere)
    assert "outside" in faults(folder, GOOD)["files.int8.path"]


def test_unknown_kind_of_file(folder: Path) -> None:
    assert list(faults(folder, GOOD.replace("files.int8", "files.int4"))) == ["files.int4.[key]"]


def test_stride_divides_the_input(folder: Path) -> None:
    found = faults(folder, GOOD.replace("stride = 2", "stride = 3"))
    assert found == {"output": "stride 3 does not divide the input's 256 x 320"}


def test_class_named_twice(folder: Path) -> None:
    assert faults(folder, GOOD.replace('"stain"', '"crack"')) == {"classes": "the same class is named twice"}
