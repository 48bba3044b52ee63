"""`edge-inspector model`: one file for each of its commands, as for the others."""

from __future__ import annotations

import argparse
import errno
from typing import Any, Final

from edge_inspector.commands.model import (
    compare,
    evaluate,
    export,
    guard,
    import_labels,
    join,
    kinds,
    limits,
    quantize,
    quick,
    show,
    suspects,
    teach,
    train,
    wrap,
)
from edge_inspector.errors import EdgeInspectorError

_COMMANDS: Final[dict[str, tuple[Any, str]]] = {
    "quick": (quick, "from a folder of pictures to a model in minutes: read, train, quantise, install"),
    "teach": (teach, "from what people marked and drew at a station to a model, as the page's Teach does"),
    "train": (train, "train a net on DATA. Repeat the command to continue an interrupted run"),
    "suspects": (suspects, "name pictures that are probably labelled wrongly, by nets that did not learn from them"),
    "quantize": (quantize, "make a model folder from a finished run, if INT8 is worth it"),
    "evaluate": (evaluate, "score a model folder on DATA and write the result into its manifest"),
    "limits": (limits, "make a new version of a model whose limits come from good parts, with a promise"),
    "kinds": (kinds, "from good parts of several kinds to a model for each that finds wrong material"),
    "join": (join, "make one model of two: the mask has the classes of both"),
    "wrap": (wrap, "make a model folder of an ONNX file that was made elsewhere"),
    "guard": (guard, "add the guard against invalid numbers to the files of a model, without training"),
    "show": (show, "print the manifest of a model folder"),
    "compare": (compare, "run two model folders on the same parts and compare what they find"),
    "export": (export, "write a model repository for an inference server"),
    "import": (import_labels, "convert labels of another format into a folder with index.csv"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commands, with their arguments."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, about) in _COMMANDS.items():
        command = commands.add_parser(name, help=about)
        module.add_arguments(command)
        command.set_defaults(model_command=module.run)


def run(given: argparse.Namespace) -> int:
    """Run the command that was named."""
    try:
        code: int = given.model_command(given)
    except (OSError, RuntimeError) as error:
        if not _disk_is_full(error):
            raise
        raise EdgeInspectorError("the disk is full: free some space and type the same command. It goes on") from error
    return code


def _disk_is_full(error: Exception) -> bool:
    """Torch says it in words of its own."""
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return full or "PytorchStreamWriter failed" in str(error) or "No space left" in str(error)
