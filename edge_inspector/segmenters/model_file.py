"""Reads the bytes of a model that a runtime gets. Their hash is checked, and no weights may lie elsewhere.

If the graph hides invalid numbers, a runtime in this process gets it with a guard. The file stays as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.ending import Ending, ending_of
from edge_inspector.segmenters.guarding import with_guard
from edge_inspector.segmenters.manifest import FileKind, Manifest
from edge_inspector.segmenters.onnx_file import read_onnx


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """One file of a model folder in memory. Nobody can exchange it between the check and the runtime.

    `mended`: `content` is not what the file holds, because a guard was added. `unguarded`: why none could be added.
    """

    path: Path
    content: bytes
    operations: frozenset[str]
    ending: Ending
    mended: bool = False
    unguarded: str = ""

    def refuse_unguarded(self) -> None:
        """Raise ConfigError if its masks may hide invalid numbers."""
        if self.unguarded:
            what = f"{self.ending.doubt}. No guard can be added: {self.unguarded}"
            raise ConfigError([Fault(str(self.path), f"{what}. End the graph as docs/how-to/model.md shows")])


def load_file(
    model_dir: Path, manifest: Manifest, kind: FileKind, runtime: str, *, runs_here: bool = True
) -> LoadedFile:
    """The file of that kind for `runtime`. Raises ConfigError if it is no ONNX file, or not the manifest's.

    If it hides invalid numbers and `runs_here`, its content gets a guard.
    """
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
    ending = ending_of(onnx)
    loaded = LoadedFile(path, content, onnx.operations, ending)
    if not ending.doubt or not runs_here:
        return loaded
    try:
        content = with_guard(content)
    except ValueError as error:
        return replace(loaded, unguarded=str(error))
    ending = ending._replace(doubt=f"{ending.doubt}. Until then it gets a guard when it is loaded")
    return replace(loaded, content=content, ending=ending, mended=True)
