"""`model wrap`: nets as other tools export them become model folders. Toy nets are made here, node by node."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.training import needs_training

from edge_inspector.cli import main
from edge_inspector.driver_table import RUNTIMES
from edge_inspector.segmenters.manifest import read_manifest

needs_training()

import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper, version_converter  # noqa: E402

from edge_inspector.training.judging.runtimes import model_predictor, open_session  # noqa: E402
from edge_inspector.training.shipping.rounding import affordable  # noqa: E402

SIDE = 64
FLOAT, HALF, WHOLE, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.UINT8


class Toy:
    """A graph under construction."""

    def __init__(self, shape: list[Any], kind: int = FLOAT, name: str = "pixels") -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs = [helper.make_tensor_value_info(name, kind, shape)]
        self.last = name

    def add(self, op: str, *more: Any, source: str = "", **attributes: Any) -> str:
        names = [source or self.last]
        for each in more:
            if isinstance(each, str):
                names.append(each)
                continue
            names.append(f"c{len(self.constants)}")
            self.constants.append(numpy_helper.from_array(np.asarray(each), names[-1]))
        self.last = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [self.last], **attributes))
        return self.last

    def save(self, path: Path, outputs: dict[str, tuple[str, list[Any], int]], **metadata: str) -> Path:
        values = []
        for name, (source, shape, kind) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [source], [name]))
            values.append(helper.make_tensor_value_info(name, kind, shape))
        graph = helper.make_graph(self.nodes, "toy", self.inputs, values, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        helper.set_model_props(model, metadata)
        onnx.save(model, str(path))
        return path


def dark(toy: Toy, *, axis: int = 1) -> str:
    """Above 0 where a picture normalised as for ImageNet is dark: black is about -2, the plate about 0.5."""
    toy.add("ReduceMean", axes=[axis], keepdims=1)
    toy.add("Neg")
    toy.add("Sub", np.float32(1.0))
    return toy.add("Mul", np.float32(8.0))


def two_planes(toy: Toy) -> str:
    defect = dark(toy)
    background = toy.add("Neg", source=defect)
    return toy.add("Concat", defect, source=background, axis=1)


def smp(path: Path) -> Path:
    toy = Toy(["n", 3, SIDE, SIDE])
    return toy.save(path, {"mask_logits": (dark(toy), ["n", 1, SIDE, SIDE], FLOAT)})


def of_our_names(path: Path) -> Path:
    """Its tensors are called as ours are."""
    toy = Toy(["n", 3, SIDE, SIDE], name="image")
    return toy.save(path, {"mask": (dark(toy), ["n", 1, SIDE, SIDE], FLOAT)})


def smp_of_any_size(path: Path) -> Path:
    toy = Toy(["n", 3, "h", "w"])
    return toy.save(path, {"mask_logits": (dark(toy), ["n", 1, "h", "w"], FLOAT)})


def keras(path: Path) -> Path:
    """Channels last, half floats, a sigmoid in the graph."""
    toy = Toy([1, SIDE, SIDE, 3], HALF)
    toy.add("Cast", to=FLOAT)
    toy.add("Transpose", perm=[0, 3, 1, 2])
    dark(toy)
    toy.add("Sigmoid")
    toy.add("Cast", to=HALF)
    return toy.save(path, {"out": (toy.last, [1, 1, SIDE, SIDE], HALF)})


def torchvision(path: Path) -> Path:
    """Logits of background and defect, and an auxiliary output."""
    toy = Toy([1, 3, SIDE, SIDE])
    planes = two_planes(toy)
    shape = [1, 2, SIDE, SIDE]
    return toy.save(path, {"out": (planes, shape, FLOAT), "aux": (toy.add("Neg", source=planes), shape, FLOAT)})


def softmax(path: Path) -> Path:
    toy = Toy([1, 3, SIDE, SIDE])
    two_planes(toy)
    return toy.save(path, {"out": (toy.add("Softmax", axis=1), [1, 2, SIDE, SIDE], FLOAT)})


def mmseg(path: Path) -> Path:
    toy = Toy([1, 3, SIDE, SIDE])
    two_planes(toy)
    return toy.save(path, {"output": (toy.add("ArgMax", axis=1, keepdims=1), [1, 1, SIDE, SIDE], WHOLE)})


def bytes_of(op: str, factor: float, *, batch: Any = "n", wrong: bool = False) -> Callable[[Path], Path]:
    """Bytes in and out, as stations take them. `wrong`: one value of the net is no number."""

    def make(path: Path) -> Path:
        toy = Toy([batch, SIDE, SIDE, 3], BYTE)
        toy.add("Cast", to=FLOAT)
        toy.add("Slice", np.array([0]), np.array([1]), np.array([3]))  # of BGR only the blue counts
        toy.add("Transpose", perm=[0, 3, 1, 2])
        toy.add("Div", np.float32(64.0))
        toy.add("Sub", np.float32(2.0))
        _ = two_planes(toy) if op in {"Softmax", "ArgMax"} else dark(toy)
        if wrong:
            spoilt = np.zeros((1, 1, SIDE, SIDE), np.float32)
            spoilt[0, 0, 60, 60] = np.nan
            toy.add("Add", spoilt)
        toy.add(op, *([np.float32(0.5)] if op == "Greater" else []), **({"axis": 1} if op == "Softmax" else {}))
        if factor != 1.0:
            toy.add("Mul", np.float32(factor))
            toy.add("Add", np.float32(0.5))
        toy.add("Cast", to=BYTE)
        planes = 2 if op == "Softmax" else 1
        return toy.save(path, {"mask": (toy.last, [batch, planes, SIDE, SIDE], BYTE)})

    return make


def half_size(path: Path) -> Path:
    toy = Toy([1, 3, SIDE, SIDE])
    dark(toy)
    toy.add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
    return toy.save(path, {"out": (toy.last, [1, 1, SIDE // 2, SIDE // 2], FLOAT)})


def anomalib(path: Path) -> Path:
    """Four outputs, of which one is the map. Its pixels are from 0 to 1, without a mean."""
    toy = Toy(["n", 3, SIDE, SIDE])
    toy.add("ReduceMean", axes=[1], keepdims=1)
    toy.add("Neg")
    chart = toy.add("Add", np.float32(1.0))
    score = toy.add("ReduceMax", axes=[1, 2, 3], keepdims=0)
    sure = toy.add("Greater", np.float32(0.5), source=chart)
    outputs = {
        "pred_score": (score, ["n"], FLOAT),
        "anomaly_map": (chart, ["n", 1, SIDE, SIDE], FLOAT),
        "pred_mask": (sure, ["n", 1, SIDE, SIDE], TensorProto.BOOL),
    }
    return toy.save(path, outputs)


def constant(toy: Toy, values: Any) -> str:
    """A tensor of these values that still depends on the picture."""
    toy.add("ReduceMean", axes=[0, 1, 2, 3], keepdims=0, source="pixels")
    toy.add("Mul", np.float32(0.0))
    return toy.add("Add", np.asarray(values, np.float32))


# The square of the picture is from 16 to 32 in both directions. Three more boxes have a score of 0.
CENTRES = [[24, 24, 16, 16], [8, 8, 4, 4], [50, 50, 4, 4], [40, 8, 4, 4]]
CORNERS = [[16, 16, 32, 32], [6, 6, 10, 10], [48, 48, 52, 52], [38, 6, 42, 10]]
SCORES = [[0.0, 0.9], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
AGPL = {"license": "AGPL-3.0 License (https://ultralytics.com/license)", "names": "{0: 'dent', 1: 'pit'}"}


def padded(rows: Any) -> Any:
    """Many rows of zeros behind, because a real net has thousands of boxes."""
    table = np.asarray(rows, np.float32)
    return np.concatenate([table, np.zeros((60, table.shape[1]), np.float32)])


def yolo(path: Path) -> Path:
    toy = Toy([1, 3, SIDE, SIDE])
    rows = padded(np.hstack([CENTRES, SCORES])).T[np.newaxis]
    return toy.save(path, {"output0": (constant(toy, rows), list(rows.shape), FLOAT)}, **AGPL)


def yolo_seg(path: Path) -> Path:
    """The prototype is sure in the upper half of the picture only."""
    toy = Toy([1, 3, SIDE, SIDE])
    shares = np.zeros((4, 32))
    shares[0, 0] = 1.0
    rows = padded(np.hstack([CENTRES, SCORES, shares])).T[np.newaxis]
    prototypes = np.zeros((1, 32, SIDE // 4, SIDE // 4))
    prototypes[:, 0, :6], prototypes[:, 0, 6:] = 9.0, -9.0
    outputs = {
        "output0": (constant(toy, rows), list(rows.shape), FLOAT),
        "output1": (constant(toy, prototypes), list(prototypes.shape), FLOAT),
    }
    return toy.save(path, outputs, **AGPL)


def detr(path: Path) -> Path:
    toy = Toy([1, 3, SIDE, SIDE])
    boxes = np.array(CENTRES, np.float32)[np.newaxis] / SIDE
    logits = np.where(np.array(SCORES) > 0, 2.2, -9.0)[np.newaxis]
    outputs = {"dets": (constant(toy, boxes), [1, 4, 4], FLOAT), "labels": (constant(toy, logits), [1, 4, 2], FLOAT)}
    return toy.save(path, outputs)


def dfine(path: Path) -> Path:
    """Boxes are scaled to a second input, as the export of D-FINE does."""
    toy = Toy([1, 3, SIDE, SIDE])
    toy.inputs.append(helper.make_tensor_value_info("orig_target_sizes", WHOLE, [1, 2]))
    sizes = toy.add("Cast", source="orig_target_sizes", to=FLOAT)
    both = toy.add("Concat", sizes, source=sizes, axis=1)
    whole = toy.add("Reshape", np.array([1, 1, 4], np.int64), source=both)
    boxes = toy.add("Mul", whole, source=constant(toy, np.array(CORNERS)[np.newaxis] / SIDE))
    labels = toy.add("Cast", source=constant(toy, [[1, 0, 0, 0]]), to=WHOLE)
    outputs = {
        "labels": (labels, [1, 4], WHOLE),
        "boxes": (boxes, [1, 4, 4], FLOAT),
        "scores": (constant(toy, [[0.9, 0, 0, 0]]), [1, 4], FLOAT),
    }
    return toy.save(path, outputs)


def yolox(path: Path) -> Path:
    """The box is told from its cell of the first grid: column 3, row 3, 8 px each."""
    toy = Toy([1, 3, SIDE, SIDE])
    rows = np.zeros((64 + 16 + 4, 7))
    rows[3 * 8 + 3] = [0.0, 0.0, np.log(2.0), np.log(2.0), 1.0, 0.0, 0.9]
    return toy.save(path, {"output": (constant(toy, rows[np.newaxis]), [1, 84, 7], FLOAT)})


def picture() -> Any:
    image = np.full((SIDE, SIDE, 3), 150, np.uint8)
    image[16:33, 16:33] = 4
    return image


FILES: dict[str, tuple[Callable[[Path], Path], list[str], str]] = {
    "segmentation_models.pytorch": (smp, [], "logits: a sigmoid"),
    "our names": (of_our_names, [], "logits: a sigmoid"),
    "any size": (smp_of_any_size, ["--size", "64", "64"], "logits: a sigmoid"),
    "channels last, half floats": (keras, [], "probabilities already"),
    "torchvision": (torchvision, [], "a softmax makes probabilities"),
    "softmax": (softmax, [], "number 0 is the background"),
    "mmseg": (mmseg, ["--classes", "pit"], "class numbers, of which 0 is the background"),
    "bytes of a sigmoid": (bytes_of("Sigmoid", 255.0), [], "colours: BGR"),
    "the factor 255 forgotten": (bytes_of("Sigmoid", 1.0), [], "probabilities already"),
    "bytes of a softmax": (bytes_of("Softmax", 255.0), [], "number 0 is the background"),
    "yes and no": (bytes_of("Greater", 1.0), [], "yes and no"),
    "more than 255": (bytes_of("Relu", 255.0), [], "bytes: 255 times"),
    "half the size": (half_size, [], "logits: a sigmoid"),
    "anomalib": (anomalib, [], "an anomaly map, as anomalib"),
    "boxes of Ultralytics": (yolo, [], "boxes, as Ultralytics"),
    "masks of Ultralytics": (yolo_seg, [], "boxes and prototypes"),
    "RF-DETR": (detr, [], "as RF-DETR"),
    "D-FINE": (dfine, ["--classes", "dent", "pit"], "as D-FINE"),
    "YOLOX": (yolox, [], "as YOLOX"),
}


@pytest.mark.parametrize(("make", "words", "said"), FILES.values(), ids=FILES)
def test_a_foreign_net_becomes_a_model_folder(
    tmp_path: Path,
    make: Callable[[Path], Path],
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = make(tmp_path / "net.onnx")
    asked = ["model", "wrap", str(file), "--name", "own", "--models", str(tmp_path), *words]
    assert main(asked) == 0
    assert said in capsys.readouterr().out
    folder = tmp_path / "own-1.0"
    predict, info = model_predictor(folder, "fp32")
    assert not info.doubt  # the guard is in
    mask = predict(picture())[-1].astype(int)
    grown = mask.repeat(info.stride, 0).repeat(info.stride, 1)
    assert grown[17:23, 17:31].min() > 128
    assert grown[:12].max() < 128
    assert grown[40:].max() < 128


@pytest.mark.parametrize("make", [yolo, yolo_seg, detr, dfine, yolox])
@pytest.mark.parametrize("opset", [17, 18])
def test_boxes_are_painted_in_files_of_newer_operators_too(
    tmp_path: Path, make: Callable[[Path], Path], opset: int
) -> None:
    file = make(tmp_path / "net.onnx")
    onnx.save(version_converter.convert_version(onnx.load(str(file)), opset), str(file))
    words = ["model", "wrap", str(file), "--name", "own", "--models", str(tmp_path), "--classes", "dent", "pit"]
    assert main(words) == 0
    predict, _ = model_predictor(tmp_path / "own-1.0", "fp32")
    assert predict(picture())[1, 4, 4] > 128


def with_an_invalid_number(path: Path, output: str, place: tuple[int, ...], wrong: float) -> Path:
    """The same net. One number of this output is none."""
    model = onnx.load(str(path))
    value = next(each for each in model.graph.output if each.name == output)
    added = np.zeros([side.dim_value for side in value.type.tensor_type.shape.dim], np.float32)
    added[place] = wrong
    node = next(each for each in model.graph.node if output in each.output)
    node.output[0] = "before"
    model.graph.initializer.append(numpy_helper.from_array(added, "wrong"))
    model.graph.node.append(helper.make_node("Add", ["before", "wrong"], [output]))
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("make", "output", "place"),
    [
        (yolo, "output0", (0, 0, 0)),
        (yolo, "output0", (0, 5, 63)),
        (yolo_seg, "output0", (0, 37, 63)),
        (yolo_seg, "output1", (0, 0, 0, 0)),
        (detr, "dets", (0, 0, 0)),
        (detr, "labels", (0, 3, 0)),
        (dfine, "boxes", (0, 0, 3)),
        (dfine, "scores", (0, 0)),
        (yolox, "output", (0, 83, 0)),
    ],
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_invalid_number_among_boxes_makes_the_whole_mask_void(
    tmp_path: Path, make: Callable[[Path], Path], output: str, place: tuple[int, ...], wrong: float, runtime: str
) -> None:
    """Painting compares and chooses, which would make "good" of it before the guard."""
    pytest.importorskip(RUNTIMES[runtime])
    file = with_an_invalid_number(make(tmp_path / "net.onnx"), output, place, wrong)
    words = ["model", "wrap", str(file), "--name", "own", "--models", str(tmp_path), "--classes", "dent", "pit"]
    assert main(words) == 0
    predict, _ = model_predictor(tmp_path / "own-1.0", "fp32", runtime)
    assert predict(picture()).min() == 255


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_invalid_number_before_class_numbers_makes_the_whole_mask_void(tmp_path: Path, runtime: str) -> None:
    """The highest of several planes is a class number, which is never invalid."""
    pytest.importorskip(RUNTIMES[runtime])
    model = onnx.load(str(mmseg(tmp_path / "net.onnx")))
    node = next(each for each in model.graph.node if each.op_type == "ArgMax")
    wrong = np.zeros((1, 2, SIDE, SIDE), np.float32)
    wrong[0, 1, 3, 3] = np.nan
    model.graph.initializer.append(numpy_helper.from_array(wrong, "wrong"))
    model.graph.node.insert(
        list(model.graph.node).index(node), helper.make_node("Add", [node.input[0], "wrong"], ["bad"])
    )
    node.input[0] = "bad"
    onnx.save(model, str(tmp_path / "net.onnx"))
    words = ["model", "wrap", str(tmp_path / "net.onnx"), "--name", "own", "--models", str(tmp_path)]
    assert main([*words, "--classes", "pit"]) == 0
    predict, _ = model_predictor(tmp_path / "own-1.0", "fp32", runtime)
    assert predict(picture()).min() == 255


@pytest.mark.parametrize("op", ["Sigmoid", "Softmax", "Greater", "Relu"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_invalid_number_that_the_file_made_a_byte_of_makes_the_mask_void(
    tmp_path: Path, runtime: str, op: str
) -> None:
    pytest.importorskip(RUNTIMES[runtime])
    file = bytes_of(op, 1.0 if op == "Greater" else 255.0, wrong=True)(tmp_path / "net.onnx")
    assert main(["model", "wrap", str(file), "--name", "own", "--models", str(tmp_path)]) == 0
    predict, _ = model_predictor(tmp_path / "own-1.0", "fp32", runtime)
    assert predict(picture()).min() == 255


def test_a_batch_that_a_station_never_has_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = bytes_of("Sigmoid", 255.0, batch=8)(tmp_path / "net.onnx")
    assert main(["model", "wrap", str(file), "--name", "own", "--models", str(tmp_path)]) == 2
    assert "takes 8 pictures at once and never one" in capsys.readouterr().err


def test_a_version_of_the_file_that_nobody_knows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(str(smp(tmp_path / "net.onnx")))
    model.ir_version = 99
    onnx.save(model, str(tmp_path / "net.onnx"))
    assert main(["model", "wrap", str(tmp_path / "net.onnx"), "--name", "own", "--models", str(tmp_path)]) == 2
    assert "ir_version 99 is higher" in capsys.readouterr().err
    assert not list(tmp_path.glob("own*"))


@pytest.mark.parametrize("make", [yolo, yolo_seg, detr, dfine, yolox])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_boxes_are_a_further_output_if_somebody_wants_them(
    tmp_path: Path, runtime: str, make: Callable[[Path], Path]
) -> None:
    pytest.importorskip(RUNTIMES[runtime])
    words = ["model", "wrap", str(make(tmp_path / "net.onnx")), "--name", "own", "--models", str(tmp_path), "--boxes"]
    assert main([*words, *(["--classes", "dent", "pit"] if make is dfine else [])]) == 0
    predict, _ = model_predictor(tmp_path / "own-1.0", "fp32", runtime)
    assert predict(picture()).shape == (2, SIDE // 4, SIDE // 4), "the mask is as without them"
    session = open_session(tmp_path / "own-1.0" / "model.fp32.onnx")
    _, boxes = session.run(None, {"image": picture()[np.newaxis]})
    left, top, right, bottom, score, kind = boxes[0, 0]
    assert (left, top, right, bottom) == pytest.approx((16, 16, 32, 32), abs=1.5)
    assert score == pytest.approx(0.9, abs=0.05)
    assert kind == 1


def test_a_net_without_boxes_has_none_to_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model", "wrap", str(smp(tmp_path / "net.onnx")), "--name", "own", "--models", str(tmp_path), "--boxes"]
    assert main(words) == 2
    assert "--boxes: the file gives no boxes" in capsys.readouterr().err


def test_the_prototypes_shape_the_box(tmp_path: Path) -> None:
    assert main(["model", "wrap", str(yolo_seg(tmp_path / "n.onnx")), "--name", "m", "--models", str(tmp_path)]) == 0
    predict, _ = model_predictor(tmp_path / "m-1.0", "fp32")
    assert predict(picture())[1, 6:].max() < 10
    manifest = read_manifest(tmp_path / "m-1.0")
    assert manifest.classes == ("dent", "pit")
    assert "AGPL-3.0" in manifest.licence


def test_what_the_net_was_trained_on_can_be_said(tmp_path: Path) -> None:
    """A net that was trained on pixels from 0 to 255 takes a dark square for bright, unless it is told."""
    file = smp(tmp_path / "net.onnx")
    words = ["model", "wrap", str(file), "--models", str(tmp_path), "--scale", "1", "--mean", "100", "--std", "48"]
    assert main([*words, "--name", "told", "--classes", "pit", "--licence", "MIT"]) == 0
    predict, _ = model_predictor(tmp_path / "told-1.0", "fp32")
    assert predict(picture())[0, 20, 20] > 250
    manifest = read_manifest(tmp_path / "told-1.0")
    assert (manifest.classes, manifest.licence) == (("pit",), "MIT")


def test_another_activation_means_other_classes_and_what_is_said_is_what_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two planes with a sigmoid each are two classes. With a softmax, the first would be the background."""
    words = ["model", "wrap", str(torchvision(tmp_path / "n.onnx")), "--models", str(tmp_path), "--mean", "0.5"]
    assert main([*words, "--name", "m", "--activation", "logits", "--classes", "good", "pit"]) == 0
    out = capsys.readouterr().out
    assert "logits: a sigmoid" in out
    assert "less 0.5," in out
    predict, _ = model_predictor(tmp_path / "m-1.0", "fp32")
    assert predict(picture()).shape[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--size: is needed"),
        (["--size", "64", "64", "--classes", "a", "b"], "2 names for 1 classes"),
        (["--size", "64", "64", "--mean", "1", "2"], "give one value, or 3"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    file = smp_of_any_size(tmp_path / "net.onnx")
    assert main(["model", "wrap", str(file), "--name", "m", "--models", str(tmp_path / "models"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_a_file_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07garbage")
    assert main(["model", "wrap", str(tmp_path / "net.onnx"), "--name", "m", "--models", str(tmp_path)]) == 2
    assert "is not an ONNX file that can be read" in capsys.readouterr().err


def test_the_pictures_given_make_int8_or_say_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A net without a convolution has nothing to quantise."""
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), picture())
    words = ["model", "wrap", str(smp(tmp_path / "n.onnx")), "--name", "m", "--models", str(tmp_path)]
    assert main([*words, "--calibrate", str(tmp_path / "pictures")]) == 0
    assert "INT8 was not made" in capsys.readouterr().out
    assert list(read_manifest(tmp_path / "m-1.0").files) == ["fp32"]


def test_layers_that_are_too_wide_to_round_with_care_do_not_hold_up_the_command() -> None:
    """Half an hour for one layer of 512 channels is no answer. Narrow layers come first, in the order of the net."""
    weights = {f"w{at}": np.zeros((8, inputs, 3, 3), np.float32) for at, inputs in enumerate((1024, 16, 512, 64))}
    nodes = [helper.make_node("Conv", [f"x{at}", f"w{at}"], [f"x{at + 1}"], name=f"c{at}") for at in range(4)]
    assert [node.name for node in affordable(nodes, weights)] == ["c1", "c3"]
    many = [helper.make_node("Conv", ["x", "w"], ["y"], name=str(at)) for at in range(100)]
    assert len(affordable(many, {"w": np.zeros((8, 256, 3, 3), np.float32)})) == 4
