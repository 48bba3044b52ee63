"""The fleet file: which stations there are, how they are asked, and how they announce themselves."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.host_name import Host
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.settings import Table, checked
from edge_inspector.station.table_faults import read_token, web_faults
from edge_inspector.station.tables import WebTable
from edge_inspector.toml_file import read_toml

_LONGEST_ADDRESS = 256
_MOST = 1000
_PORTS = {"http": 80, "https": 443}

_Placed = TypeVar("_Placed", bound=Table)


def _address(text: str) -> str:
    found = address_of(text)
    if found is None:
        raise ValueError("must be the address of a station's page, as http://192.168.0.31:9108")
    return found


def address_of(text: str) -> str | None:
    """The address of a page in one form, so that two spellings are one station. None if it is no such address."""
    if len(text) > _LONGEST_ADDRESS or not text.isascii() or not text.isprintable() or set(text) & set(" \\<>\"'`"):
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # a part between its dots may be empty or too long
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or parts.username is not None or parts.query or parts.fragment:
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or _PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def _label(text: str) -> str:
    if not text.isprintable() or text.strip() != text:
        raise ValueError("must be a text without control characters, and without spaces around it")
    return unicodedata.normalize("NFC", text)


def _filter(text: str) -> str:
    levels = text.split("/")
    if levels.count("birth") != 1 or "#" in text or text.startswith("$") or not all(levels):
        raise ValueError("must be a topic with the level birth in it once, as edge/+/birth")
    return text


Address = Annotated[str, AfterValidator(_address)]
Label = Annotated[str, Field(max_length=64), AfterValidator(_label)]


class FleetWebTable(WebTable):
    """The page of all stations: its address, and who may use it. It has the keys of a station's `web`."""

    port: Annotated[int, Field(ge=1, le=65535)] = 9120
    """TCP port to listen on. A station on the same machine has 9108."""


class PollTable(Table):
    """How the stations are asked. A station is asked for `/healthz` each time, and for `/metrics` now and then."""

    every_s: Annotated[float, Field(ge=1, le=3600)] = 10.0
    """Time between two questions to the same station."""
    figures_every_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """Time between two readings of `/metrics`, which is the larger answer."""
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 2.0
    """Longest time for one answer. A slower station counts as slow."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 16
    """Most stations that are asked at the same time."""
    tls_ca_file: Path | None = None
    """Certificate of the authority that signed the stations' certificates. Not set: those that this machine trusts."""


class BrokerTable(Table):
    """The broker over which stations announce themselves. Their links need `birth = true`."""

    host: Host
    """Name or address of the broker."""
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    """TCP port of the broker. Usually 8883 with TLS."""
    births: Annotated[list[Annotated[str, AfterValidator(_filter)]], Field(min_length=1, max_length=16)] = [
        "edge/+/birth"
    ]
    """Topics of the births. `+` stands for any one level. The state of a station is where `birth` becomes `state`."""
    version: Literal["5", "3.1.1"] = "5"
    """MQTT version."""
    client_id: Annotated[str, Field(min_length=1)] = "edge-inspector-fleet"
    """Client id, unique at the broker."""
    username: str | None = None
    """User name at the broker. It needs to read births and states, and to write nothing."""
    password_file: Path | None = None
    """File with the password, UTF-8 text."""
    tls_ca_file: Path | None = None
    """Certificate of the authority that signed the broker's certificate. Setting it switches TLS on."""
    tls_system_ca: bool = False
    """Switch TLS on, and trust the authorities that this machine trusts."""
    token_file: Path | None = None
    """File with the token that announced stations want (`web.machines_token_file`). It is sent over https only."""

    @property
    def link(self) -> MqttSettings:
        """The same broker as a station's link names it. Raises ConfigError."""
        same = {key: getattr(self, key) for key in type(self).model_fields.keys() & MqttSettings.model_fields.keys()}
        return checked(MqttSettings, same, "broker")


class PrometheusTable(Table):
    """A Prometheus that watches stations already. Those are found by its targets, and this page does not ask them."""

    url: Address
    """Address of the Prometheus of a hall, or of the plant's that federates those, as `http://192.168.0.20:9090`."""
    job: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "edge-inspector"
    """Name of the job that scrapes the stations."""
    token_file: Path | None = None
    """File with a token, if a proxy before the Prometheus wants one. Only for `https`."""


class ListedTable(Table):
    """One station that is named here. It need not announce itself."""

    address: Address
    """Address of the station's page, as `http://192.168.0.31:9108`."""
    name: Label = ""
    """Name to show. Not set: what the station calls itself."""
    site: Label = ""
    """Site to which the station belongs, to choose by."""
    place: Label = ""
    """Where in the site it stands, as `Hall 2, press 3`."""
    token_file: Path | None = None
    """File with the token of this station (its `web.machines_token_file`). Without it only the state is known."""


class FleetFile(Table):
    """The whole file."""

    name: Label = "Plant"
    """Title of the page."""
    web: FleetWebTable = FleetWebTable()
    """The page of all stations."""
    poll: PollTable = PollTable()
    """How the stations are asked."""
    broker: BrokerTable | None = None
    """The broker over which stations announce themselves. Not set: only the stations of this file are shown."""
    prometheus: PrometheusTable | None = None
    """A Prometheus that knows stations. `--prometheus URL` sets its address, too."""
    stations: Annotated[list[ListedTable], Field(max_length=_MOST)] = []
    """The stations that are named here."""

    @field_validator("name")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value:
            raise ValueError("must not be empty")
        return value


def read_fleet(path: Path | None, prometheus: str = "") -> FleetFile:
    """The fleet file in `path`, with absolute paths. `prometheus` is its address if given apart. Raises ConfigError.

    Without a file, all settings but that address have their defaults.
    """
    raw, base = ({}, Path()) if path is None else (read_toml(path), path.parent)
    if prometheus:
        table = raw.get("prometheus")
        raw = raw | {"prometheus": (table if isinstance(table, dict) else {}) | {"url": prometheus}}
    file = _placed(base, checked(FleetFile, raw))
    faults = [*web_faults(file.web), *_station_faults(file.stations), *_file_faults(file)]
    if not file.stations and file.broker is None and file.prometheus is None:
        faults.append(
            Fault("stations", "no station is known: write a [[stations]] table each, or [broker], or [prometheus]")
        )
    if faults:
        raise ConfigError(faults)
    if file.broker is not None:
        file.broker.link  # noqa: B018 -- raises if user name and TLS do not fit together
    return file


def _station_faults(stations: Sequence[ListedTable]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for at, each in enumerate(stations):
        if each.address in first:
            yield Fault(f"stations.{at}.address", f"{each.address} is that of stations.{first[each.address]}, too")
        first.setdefault(each.address, at)


def _file_faults(file: FleetFile) -> Iterator[Fault]:
    tokens = {f"stations.{at}.token_file": each.token_file for at, each in enumerate(file.stations)}
    if file.broker is not None:
        tokens["broker.token_file"] = file.broker.token_file
    if file.prometheus is not None:
        tokens["prometheus.token_file"] = file.prometheus.token_file
        if file.prometheus.token_file is not None and file.prometheus.url.startswith("http://"):
            yield Fault("prometheus.token_file", "others on the network could read the token: write https:// into url")
    for where, path in tokens.items():
        try:
            if path is not None:
                read_token(path)
        except (OSError, ValueError) as error:
            yield Fault(where, f"{path}: {error}")
    if file.poll.tls_ca_file is not None and not file.poll.tls_ca_file.is_file():
        yield Fault("poll.tls_ca_file", f"{file.poll.tls_ca_file} is not a file")


def _placed(base: Path, file: FleetFile) -> FleetFile:
    """The same tables with paths that do not depend on where the command was started."""
    return file.model_copy(
        update={
            "web": _absolute(base, file.web),
            "poll": _absolute(base, file.poll),
            "broker": None if file.broker is None else _absolute(base, file.broker),
            "prometheus": None if file.prometheus is None else _absolute(base, file.prometheus),
            "stations": [_absolute(base, each) for each in file.stations],
        }
    )


def _absolute(base: Path, table: _Placed) -> _Placed:
    return table.model_copy(update={key: base / value for key, value in table if isinstance(value, Path)})
