"""The plan of a roll-out: what goes to which stations, in which steps, and when it goes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.fleet.tables import Address, Label
from edge_inspector.host_name import is_loopback
from edge_inspector.settings import Table, checked
from edge_inspector.store.ledger import Bounds
from edge_inspector.toml_file import read_toml

_PASSWORD_BYTES: Final = 4096
_Placed = TypeVar("_Placed", bound=Table)


class LoginTable(Table):
    """The user of the stations' pages as whom the command comes. It needs the role `admin`."""

    user: Annotated[str, Field(min_length=1, max_length=64)] = "rollout"
    """Name of the user. It is in the audit trail of each station."""
    password_file: Path
    """File with the password, UTF-8 text. Nobody else may read it."""


class AskTable(Table):
    """How the stations are asked."""

    every_s: Annotated[float, Field(ge=0.2, le=3600)] = 5.0
    """Time between two questions to the same station."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Longest time for one answer, and for a package on its way."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 8
    """Most stations that are asked at the same time."""
    tls_ca_file: Path | None = None
    """Certificate of the authority that signed the stations' certificates. Not set: those that this machine trusts."""
    allow_plain: bool = False
    """Allow http to other machines. The password can then be read on the way."""


class PlanStation(Table):
    """One station. They take their turn in this order."""

    address: Address
    """Address of the station's page, as `https://192.168.0.31:9108`."""
    name: Label = ""
    """Name to show. Not set: the address."""
    password_file: Path | None = None
    """File with the password of this station, if it is not that of `login`."""


class PlanFile(Table):
    """The whole file."""

    what: Path
    """The signed model folder or recipe."""
    why: Annotated[str, Field(min_length=1, max_length=200)]
    """The reason, for the audit trail of each station."""
    first: Annotated[int, Field(ge=1, le=1000)] = 1
    """Stations that judge with it and must pass, before it may judge at the others."""
    login: LoginTable
    """As whom the command comes."""
    ask: AskTable = AskTable()
    """How the stations are asked."""
    watch: Bounds = Bounds()
    """When it is good enough for the next step, and when it goes back."""
    stations: Annotated[list[PlanStation], Field(min_length=1, max_length=1000)]
    """The stations, one table each."""


def read_plan(path: Path) -> PlanFile:
    """The plan in `path`, with absolute paths. Raises ConfigError with every fault."""
    file = checked(PlanFile, read_toml(path))
    base = path.parent
    file = file.model_copy(
        update={
            "what": base / file.what,
            "login": _placed(base, file.login),
            "ask": _placed(base, file.ask),
            "stations": [_placed(base, each) for each in file.stations],
        }
    )
    if faults := [*_faults(file)]:
        raise ConfigError(faults)
    return file


def password_of(file: PlanFile, station: PlanStation) -> str:
    """The password for this station. Raises OSError, ValueError."""
    path = station.password_file or file.login.password_file
    if path.stat().st_size > _PASSWORD_BYTES:
        raise ValueError("too large for a password")
    text = path.read_text(encoding="utf-8").rstrip("\r\n")
    if not text:
        raise ValueError("has no password in it")
    return text


def _faults(file: PlanFile) -> Iterator[Fault]:
    if not file.what.exists():
        yield Fault("what", f"{file.what} is not there")
    if file.ask.tls_ca_file is not None and not file.ask.tls_ca_file.is_file():
        yield Fault("ask.tls_ca_file", f"{file.ask.tls_ca_file} is not a file")
    seen: dict[str, int] = {}
    names: dict[str, int] = {}
    for at, station in enumerate(file.stations):
        where, parts = f"stations.{at}", urlsplit(station.address)
        if station.address in seen:
            yield Fault(f"{where}.address", f"{station.address} is that of stations.{seen[station.address]}, too")
        seen.setdefault(station.address, at)
        if station.name and names.setdefault(station.name, at) != at:
            yield Fault(f"{where}.name", f"{station.name} is that of stations.{names[station.name]}, too")
        if parts.scheme == "http" and not is_loopback(parts.hostname or "") and not file.ask.allow_plain:
            yield Fault(f"{where}.address", "the password could be read on the way: use https, or set ask.allow_plain")
    for path in {each.password_file or file.login.password_file: 0 for each in file.stations}:
        try:
            password_of(file, file.stations[0].model_copy(update={"password_file": path}))
            if path.stat().st_mode & 0o007:
                yield Fault("login.password_file", f"everybody on this machine can read it: chmod o-rwx {path}")
        except (OSError, ValueError) as error:
            yield Fault("login.password_file", f"{path}: {getattr(error, 'strerror', None) or error}")


def _placed(base: Path, table: _Placed) -> _Placed:
    return table.model_copy(update={key: base / value for key, value in table if isinstance(value, Path)})
