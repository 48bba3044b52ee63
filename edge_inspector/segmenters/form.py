"""Checks that inputs and outputs of a graph are as in the manifest. If not, it lists all differences and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Manifest

_WAY_ON: Final = (
    "a model takes uint8 pictures (N, H, W, channels) and gives uint8 masks (N, classes, H/stride, W/stride), 255 "
    "times the probability: let `edge-inspector model wrap FILE.onnx --name NAME` make a folder of the file as it was "
    "exported (docs/how-to/model.md)"
)


BOXES: Final = "boxes"
"""A further output of this name is for others, and no station reads it."""


class Port(NamedTuple):
    """An input or output tensor of a graph, as the runtime reports it. An axis without a fixed size is not an int."""

    name: str
    kind: str
    axes: Sequence[int | str | None]
    shape: str


def refuse_another_form(
    path: Path, manifest: Manifest, *, inputs: Sequence[Port], outputs: Sequence[Port], byte: str
) -> None:
    """Raise ConfigError if inputs or outputs differ from the manifest. `byte` is the runtime's name for uint8.

    An axis without a fixed size matches. The first run checks it.
    """
    size, stride = manifest.input, manifest.output.stride
    outputs = [*outputs[:1], *(port for port in outputs[1:] if port.name != BOXES)]
    expected = {
        "input": (inputs, (size.height, size.width, size.channels)),
        "output": (outputs, (len(manifest.classes), size.height // stride, size.width // stride)),
    }
    found: list[tuple[str, str]] = []
    wrapped = True
    for where, (ports, shape) in expected.items():
        if len(ports) != 1:
            found.append((where, f"one tensor expected, the model has {len(ports)}"))
            wrapped = False
            continue
        (port,) = ports
        if port.kind != byte:
            found.append((f"{where} {port.name}", f"type {byte} expected, the model has {port.kind}"))
            wrapped = False
        if not _fits(port.axes, shape):
            numbers = ", ".join(map(str, shape))
            found.append((f"{where} {port.name}", f"shape (any, {numbers}) expected, the model has {port.shape}"))
    if not wrapped:
        raise ConfigError([Fault(str(path), "; ".join([*(f"{at}: {what}" for at, what in found), _WAY_ON]))])
    if found:
        raise ConfigError([Fault(f"{path}: {at}", what) for at, what in found])


def _fits(axes: Sequence[int | str | None], shape: tuple[int, int, int]) -> bool:
    if len(axes) != len(shape) + 1:
        return False
    return all(not isinstance(axis, int) or axis == size for axis, size in zip(axes[1:], shape, strict=True))
