"""Model files with a guard at the end of the graph (segmenters/guarding.py)."""

from pathlib import Path

import onnx
from onnx import ModelProto

from edge_inspector.segmenters.ending import ending_of
from edge_inspector.segmenters.guarding import with_guard
from edge_inspector.segmenters.onnx_file import read_onnx
from edge_inspector.store.whole_file import draft_of


def guard_file(path: Path) -> bool:
    """Put the guard into a model file, if it needs one. False if there is nothing to do."""
    model = onnx.load(str(path))
    if not add_guard(model):
        return False
    onnx.checker.check_model(model)
    with draft_of(path) as draft:
        onnx.save(model, str(draft))
    return True


def add_guard(model: ModelProto) -> bool:
    """Put the guard before the last cast, in place. Masks of finite numbers from 0 to 255 do not change.

    False if there is nothing to do: the graph has a guard, or does not end in a cast to bytes.
    """
    content = model.SerializeToString()
    if not ending_of(read_onnx(content)).doubt:
        return False
    try:
        guarded = with_guard(content)
    except ValueError:
        return False
    model.ParseFromString(guarded)
    return True


def opset_of(model: ModelProto) -> int:
    """The version of the operators that the model is written in. 0 if it names none."""
    return next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
