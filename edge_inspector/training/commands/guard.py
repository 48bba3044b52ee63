"""`model guard MODEL_DIR`: add the guard for invalid numbers to a model folder's files, without new training."""

import argparse
import hashlib
import tomllib

import onnx

from edge_inspector.segmenters.manifest import MANIFEST_NAME, read_manifest
from edge_inspector.training.learning.guard import add_guard
from edge_inspector.training.shipping.manifest import write_table


def run(given: argparse.Namespace) -> int:
    """Repair the files, hash them and write. The manifest is written last."""
    manifest = read_manifest(given.model)
    table = tomllib.loads((given.model / MANIFEST_NAME).read_text(encoding="utf-8"))
    for kind, file in manifest.files.items():
        path = given.model / file.path
        model = onnx.load(str(path))
        if not add_guard(model):
            print(f"{kind}: {file.path} needs no guard, or has no cast to put one before")
            continue
        onnx.checker.check_model(model)
        fresh = path.with_suffix(".new")
        onnx.save(model, str(fresh))
        fresh.replace(path)
        table["files"][kind]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{kind}: {file.path} has a guard now")
    write_table(given.model, table)
    return 0
