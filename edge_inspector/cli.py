"""The command line: the table of commands, and what all of them share. The commands are in `commands/`."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any, Final

from edge_inspector import __version__
from edge_inspector.errors import ConfigError, EdgeInspectorError
from edge_inspector.texts import without_passwords

COMMANDS: Final = {
    "run": "run a station until SIGTERM or Ctrl-C",
    "collect": "run a station that has no model yet, and keep the pictures",
    "record": "run a station and record the shift for `replay`",
    "replay": "judge a recorded shift again, as it was or by another model, recipe or limits",
    "validate": "write what an auditor files: how well, how fast, and with what this station judges",
    "study": "say how well a station agrees with its challenge parts and with itself",
    "sign": "sign models, recipes and releases, so that a station can trust them, and check who did",
    "fleet": "serve one page of all stations, sorted by who needs help",
    "rollout": "bring a signed model or recipe to many stations, step by step, and back if it is bad",
    "check": "check a station's files, cameras, PLC and broker",
    "doctor": "find problems of this machine that would disturb a station",
    "user": "add, remove or list users of the operator page",
    "shadow": "let the shadow model judge, or undo that",
    "schema": "print the JSON Schema of MQTT messages, station file and recipe",
    "cameras": "list the cameras found on the network and on USB",
    "focus": "show sharpness and exposure live while you adjust a lens",
    "trace": "show everything that happened to one part, from the photo-eye to every link",
    "audit": "show who changed what, and check that nobody edited that record",
    "export": "write results as tables, or pictures as training data",
    "forward": "send results to the plant's PostgreSQL, or to a bucket, until SIGTERM or Ctrl-C",
    "reference": "learn the reference of the drift watch from judged parts",
    "calibrate": "propose limits from good parts, with a promise of how few of them are rejected",
    "guard": "teach the picture guard with good parts, so that it refuses other pictures",
    "model": "train, quantise, judge and compare models",
    "judge": "run a recipe over picture files, without a line",
    "demo": "run a simulated line: PLC, broker, station and scoreboard",
    "size": "say how many cores, how much memory, disk and network a line needs, and what limits it",
    "bench": "measure how fast this machine is, on the simulated line",
}
"""The help line of each command. The command with this name is in `commands/NAME.py`."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 1: failed. 2: wrong configuration or command line.
    """
    words = sys.argv[1:] if arguments is None else arguments
    # No option before the command takes a value, so the first word without a dash is the command.
    given = build_parser([word for word in words if not word.startswith("-")][:1]).parse_args(words)
    try:
        code: int = given.command(given)
        return code
    except ConfigError as error:
        for fault in error.faults:
            print(without_passwords(str(fault)), file=sys.stderr)
        count = len(error.faults)
        print(f"{count} fault{'s' if count != 1 else ''} found. Nothing was started", file=sys.stderr)
        return 2
    except EdgeInspectorError as error:
        print(without_passwords(str(error)), file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in _FULL:
            raise
        print(f"{error.filename or 'the disk'}: {error.strerror}. Make room, then type it again", file=sys.stderr)
        return 1


def build_parser(complete: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser. Only the commands in `complete` are imported and have arguments: all would take seconds."""
    parser = argparse.ArgumentParser(prog="edge-inspector", description="Real-time inspection at a production line.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about)
        if name in complete:
            module: Any = import_module(f"edge_inspector.commands.{name}")
            module.add_arguments(command)
            command.set_defaults(command=module.run)
    return parser
