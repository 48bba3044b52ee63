"""`edge-inspector rollout`: bring a signed model or recipe to many stations, step by step, and back if it is bad."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_inspector.rollout.drive import Drive, lines
from edge_inspector.rollout.state import alone, begun, save, state_path
from edge_inspector.rollout.steps import ended, succeeded
from edge_inspector.rollout.tables import read_plan
from edge_inspector.store.package import digest_of, pack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan, and what to do with it."""
    parser.add_argument("plan", type=Path, metavar="PLAN.toml", help="what goes to which stations")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--back", action="store_true", help="call it back from every station that has not kept it")
    what.add_argument("--status", action="store_true", help="print how far it is, from its state file alone")
    parser.add_argument("--once", action="store_true", help="ask every station once, order what follows, and end")


def run(given: argparse.Namespace) -> int:
    """Go on until it has ended, SIGTERM or Ctrl-C. 0 if every station keeps it. The same command goes on later."""
    plan, path = read_plan(given.plan), state_path(given.plan)
    names = {each.address: each.name or each.address for each in plan.stations}
    package = pack(plan.what)
    with alone(path):
        state = begun(path, digest=digest_of(package), name=plan.what.name, addresses=list(names))
        if given.status:
            print("\n".join(lines(state, names)))
            return 0 if succeeded(state) else 1
        if given.back and state.phase == "forward":
            state = state.model_copy(update={"phase": "back", "why_back": "somebody called it back"})
            save(path, state)
        drive = Drive(plan, package, state, path=path, tell=_tell)
        with _until_a_signal() as stop:
            drive.run(stop, once=given.once)
    print("\n".join(lines(drive.state, names)), flush=True)
    if not ended(drive.state):
        print(f"not ended yet: the same command goes on. {path} has the state")
    return 0 if succeeded(drive.state) else 1


@contextmanager
def _until_a_signal() -> Iterator[threading.Event]:
    stop, numbers = threading.Event(), (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(line: str) -> None:
    print(line, flush=True)
