"""Takes out of a graph what no output needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import ModelProto


def pruned(model: ModelProto) -> ModelProto:
    """Without operations and weights that nothing reads, as those of the file's further outputs."""
    made = {name: node for node in model.graph.node for name in node.output}
    wanted: set[str] = set()
    ahead: list[str] = [each.name for each in model.graph.output]
    while ahead:
        node = made.get(ahead.pop())
        if node is not None and node.output[0] not in wanted:
            wanted.add(node.output[0])
            ahead += [*node.input, *_outer(node)]
    kept = [node for node in model.graph.node if node.output and node.output[0] in wanted]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    read = {name for node in kept for name in (*node.input, *_outer(node))}
    weights = [each for each in model.graph.initializer if each.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return model


def _outer(node: Any) -> Sequence[str]:
    """What the graphs inside a node read from outside."""
    return [name for each in node.attribute for inner in each.g.node for name in inner.input]
