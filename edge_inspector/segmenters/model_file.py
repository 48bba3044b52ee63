"""Reads the bytes of a model that a runtime gets. Their hash is checked, and no weights may lie elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.ending import Ending, ending_of
from edge_inspector.segmenters.manifest import FileKind, Manifest
from edge_inspector.segmenters.onnx_file import read_onnx


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """One file of a model folder in memory. Nobody can exchange it between the check and the runtime."""

    path: Path
    content: bytes
    operations: frozenset[str]
    ending: Ending


def load_file(model_dir: Path, manifest: Manifest, kind: FileKind, runtime: str) -> LoadedFile:
    """The file of that kind for `runtime`. Raises ConfigError if it is no ONNX file, or not the manifest's."""
    told = manifest.files[kind]
    path = model_dir / told.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    if hashlib.sha256(content).hexdigest() != told.sha256:
        raise ConfigError([Fault(str(path), "has changed: it does not match the manifest")])
    try:
        onnx = read_onnx(content)
    except ValueError as error:
        raise ConfigError(
            [Fault(str(path), f"does not load on {runtime}: it is not a whole ONNX file, {error}")]
        ) from error
    if onnx.weights_elsewhere:
        raise ConfigError(
            [Fault(str(path), "keeps weights in another file, which no hash covers: save it as one file")]
        )
    return LoadedFile(path, content, onnx.operations, ending_of(onnx))
