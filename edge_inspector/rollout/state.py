"""The state of a roll-out in one file. The command may be killed at any moment and begin again from it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from edge_inspector.errors import ConfigError, DeviceError, EdgeInspectorError, Fault
from edge_inspector.settings import Table
from edge_inspector.store.ledger import RolloutStep, TrialCounts
from edge_inspector.store.whole_file import replace_file

_LARGEST: Final = 8 << 20


class StationSeen(Table):
    """The latest that is known of a station. `step` is None before it has anything of this roll-out."""

    step: RolloutStep | None = None
    wanted: RolloutStep | None = None
    passed: bool = False
    counts: TrialCounts = TrialCounts()
    said: str = ""
    """Why it went back, or why it refuses."""
    arrived: bool = False
    refused: bool = False
    off: bool = True
    removed: bool = False
    """It is not in the plan any more."""
    trouble: str = ""
    untrusted: bool = False
    """The trouble is its certificate."""
    own: str = ""
    """The name that it gives itself."""
    id: str = ""
    """The number by which the station knows it. Another one if the state of the plan was lost."""
    ordered: bool = False
    """An order was on its way to it. Its answer may have been lost."""


class State(Table):
    """The whole file. `kept`: the stations were told to keep it, and only late ones are still to come."""

    format: Literal[1] = 1
    id: str
    digest: str
    name: str
    phase: Literal["forward", "back"] = "forward"
    why_back: str = ""
    kept: bool = False
    stations: dict[str, StationSeen]


def state_path(plan: Path) -> Path:
    """Where the state of this plan is."""
    return plan.with_suffix(".state.json")


def begun(path: Path, *, digest: str, name: str, addresses: list[str]) -> State:
    """The state in `path`, or a new one. A station that was added to the plan is in it. Raises ConfigError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError([Fault(str(path), "is too large for a state. Move it away")])
        found = State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        found = State(id=secrets.token_hex(6), digest=digest, name=name, stations={})
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    except ValidationError as error:
        what = "is damaged. Move it away, call back what is under way with --back, and begin again"
        raise ConfigError([Fault(str(path), what)]) from error
    if found.digest != digest:
        what = f"is of another package than {name} as it is now. Give this roll-out a plan file of its own"
        raise ConfigError([Fault(str(path), what)])
    stations = {address: _asked_again(found.stations.get(address, StationSeen())) for address in addresses}
    gone = {
        address: seen.model_copy(update={"removed": True})
        for address, seen in found.stations.items()
        if address not in stations and _has_it(seen)
    }
    return found.model_copy(update={"stations": {**stations, **gone}})


def save(path: Path, state: State) -> None:
    """Replace the file. Raises DeviceError."""
    try:
        replace_file(path, state.model_dump_json(indent=1))
    except OSError as error:
        raise DeviceError(f"{path}: the state cannot be written: {error.strerror}") from error


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One command at a time works on this state. Raises EdgeInspectorError."""
    lock = path.with_suffix(".lock")
    try:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise DeviceError(f"{lock}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise EdgeInspectorError(
            f"{path}: another `edge-inspector rollout` works on it. Leave it to that one"
        ) from None
    finally:
        os.close(file)


def _asked_again(seen: StationSeen) -> StationSeen:
    """What a station refused may be mended by now."""
    change = {"removed": False} | ({"refused": False, "said": ""} if seen.refused else {})
    return seen.model_copy(update=change)


def _has_it(seen: StationSeen) -> bool:
    return seen.step in {RolloutStep.WAITS, RolloutStep.SHADOW, RolloutStep.JUDGES}
