"""Whether a graph takes and gives what the manifest says; if not, all that is otherwise, and the way on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Manifest

_WAY_ON: Final = (
    "a model takes uint8 pictures (N, H, W, channels) and gives uint8 masks (N, classes, H/stride, W/stride), 255 "
    'times the probability: wrap the net as "A net made elsewhere" in docs/how-to/model.md shows, and export it again'
)


class Port(NamedTuple):
    """A tensor that a graph takes or gives, as its runtime tells it; an axis without a fixed size is no int."""

    name: str
    kind: str
    axes: Sequence[int | str | None]
    shape: str


def refuse_another_form(
    path: Path, manifest: Manifest, *, inputs: Sequence[Port], outputs: Sequence[Port], byte: str
) -> None:
    """See that both are as the manifest says; `byte` is what the runtime calls uint8. Raises ConfigError.

    An axis without a fixed size matches: the first run tells.
    """
    size, stride = manifest.input, manifest.output.stride
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
