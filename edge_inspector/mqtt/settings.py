"""The settings of the MQTT link in the station file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from edge_inspector.codes import Promise
from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.host_name import Host, is_loopback
from edge_inspector.wording import in_words

_PLACES: Final = ("prefix", "station", "kind")


def _template(text: str) -> str:
    """A topic with places for prefix, station and kind. The kind is needed, because each has a topic of its own."""
    levels = text.split("/")
    if "{kind}" not in levels:
        raise ValueError("must have {kind} as one of its levels, as {prefix}/{station}/{kind}")
    plain = text
    for place in _PLACES:
        if text.count(f"{{{place}}}") > 1:
            raise ValueError(f"has {{{place}}} twice")
        plain = plain.replace(f"{{{place}}}", "x")
    if not all(plain.split("/")) or set(plain) & set("{}+#\0") or plain.startswith("$"):
        raise ValueError(
            "must be levels with / between them, without + # and $. Places are {prefix}, {station} and {kind}"
        )
    return text


class MqttSettings(DriverSettings):
    """The broker and how to talk to it."""

    peer_kind: ClassVar = PeerKind.BROKER

    host: Host
    """Name or address of the broker."""
    port: int = Field(default=1883, ge=1, le=65535)
    """TCP port of the broker. Usually 8883 with TLS."""
    topic_prefix: str = Field(
        default="edge",
        pattern=r"^[^/+#$]+(/[^/+#]+)*$",
        json_schema_extra=in_words("levels with / between them, none at either end, and without + # and $"),
    )
    """First levels of every topic. The station's name follows."""
    topic: Annotated[str, AfterValidator(_template)] = "{prefix}/{station}/{kind}"
    """Form of every topic, for a plant with its own order of levels. `{kind}` is verdict, reject, state and so on."""
    transport: Literal["tcp", "websockets"] = "tcp"
    """`websockets` reaches a broker through a network that lets HTTP through only."""
    websocket_path: str = Field(
        default="/mqtt",
        pattern=r"^/[!-~]*$",
        json_schema_extra=in_words("a path of letters, digits and signs after a /"),
    )
    """Path of the broker's websocket."""
    retain: bool = True
    """Publish `state` retained. With false, for a broker that allows none, a newcomer waits for `state_every_s`."""
    outbox: str = Field(
        default="outbox",
        pattern=r"^[a-z0-9-]{1,32}$",
        json_schema_extra=in_words("at most 32 of the letters a-z, digits and -"),
    )
    """Name of the file in `state_dir` that holds what waits. Of two brokers, as plant and cloud, each needs its own."""
    version: Literal["5", "3.1.1"] = "5"
    """MQTT version. Use `3.1.1` only for a broker without MQTT 5: rejects then carry no expiry."""
    client_id: str | None = Field(default=None, min_length=1)
    """Client id, unique at the broker. Not set: `edge-inspector-` and the station's name."""
    username: str | None = None
    """User name at the broker. Not set: the station connects without one."""
    password_file: Path | None = None
    """File with the password, UTF-8 text. Only the service should be able to read it."""
    tls_ca_file: Path | None = None
    """Certificate of the authority that signed the broker's certificate. Setting it switches TLS on."""
    tls_system_ca: bool = False
    """Switch TLS on, and trust the authorities that this machine trusts, for a broker in a cloud."""
    tls_cert_file: Path | None = None
    """This station's own certificate, for brokers that require one. Needs `tls_key_file` and `tls_ca_file`."""
    tls_key_file: Path | None = None
    """Private key of `tls_cert_file`."""
    keepalive_s: int = Field(default=5, ge=2, le=3600)
    """Time after which a silent broker counts as lost. Raise it for a slow network."""
    connect_timeout_s: float = Field(default=1.0, gt=0, le=10)
    """Longest wait for the TCP connection, and again for TLS. Raise it for a slow network."""
    inflight: int = Field(default=100, ge=1, le=200)
    """Messages sent ahead of their acknowledgement. The broker may lower it."""
    outbox_max_rows: int = Field(default=100_000, ge=2)
    """Messages kept on disk while the broker is away, about 1 kB each. 256 MB is the limit in any case."""
    packet_max_bytes: int = Field(default=262_144, ge=2048)
    """Largest packet to send. Longer verdicts are sent with fewer defects. Lower it to the broker's limit."""
    birth: bool = False
    """Announce the station by a retained message on `birth`, so that a fleet page finds it (docs/how-to/fleet.md)."""
    page: str = Field(
        default="",
        max_length=256,
        pattern=r"^(https?://[A-Za-z0-9._~:/%\[\]-]+)?$",
        json_schema_extra=in_words(
            "the address of the page as other machines reach it, as https://line-1.example:9108"
        ),
    )
    """Address of the operator page as other machines reach it. It is told in the birth."""
    site: str = Field(default="", max_length=64)
    """Site to which the station belongs, for people. It is told in the birth."""
    place: str = Field(default="", max_length=64)
    """Where in the site the station stands, as `Hall 2, press 3`. It is told in the birth."""
    sparkplug_group: str = Field(
        default="",
        pattern=r"^[^/+#\x00-\x1f]{0,64}$",
        json_schema_extra=in_words("at most 64 characters, without / + and #"),
    )
    """Group in which the station is a Sparkplug B edge node, too, for Ignition and other hosts. Empty: it is none."""
    commands: bool = False
    """Accept commands over MQTT. Set it only if the broker checks names and rights."""
    triggers: bool = False
    """Take parts from messages on `trigger`, so that this link can announce them (docs/lines.md)."""
    numbered: bool = True
    """Each trigger has a `seq` that rises by one. Without it, a message that is lost is a part that nobody notices."""
    trigger_delay_ms: float = Field(default=100.0, ge=1, le=10_000)
    """Longest time from the photo-eye until its message is here. It is in the bound of places if there is no count."""
    trigger_clock_ms: float | None = Field(default=None, ge=0.1, le=1000)
    """How far the clock of `utc` in a trigger may be from the station's. Set it to place parts by that clock."""
    line: bool = False
    """Take messages on `line`, which say whether the belt runs and that the line's gateway is alive."""
    line_silent_s: float = Field(default=1.0, gt=0, le=60)
    """Longest time between two messages on `line`. A longer silence is a fault, and the belt counts as stopped."""
    state_every_s: float = Field(default=10.0, ge=0.1, le=60)
    """Longest time between two messages on `state`. It is the heartbeat of a gate behind this link: write 0.2 there."""
    gate_time: bool = False
    """Say in each verdict when the part will be at the gate, for listeners that do not see the belt's counter."""

    def topic_of(self, station: str, kind: str) -> str:
        """The topic for messages of this kind."""
        return self.topic.format(prefix=self.topic_prefix, station=station, kind=kind)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls_system_ca or self.tls_ca_file is not None

    @property
    def announces(self) -> bool:
        """With `triggers`."""
        return self.triggers

    @property
    def promise(self) -> Promise:
        """Nobody acknowledges a verdict. A trigger without a number can be lost unnoticed."""
        return Promise.UNCOUNTED if self.triggers and not self.numbered else Promise.COUNTED

    @property
    def states_run(self) -> bool:
        """A count in a trigger may come from anywhere."""
        return False

    @property
    def tells_running(self) -> bool:
        """With `line`."""
        return self.line

    @property
    def acts_by_time(self) -> bool:
        """With `gate_time`."""
        return self.gate_time

    def password(self) -> str | None:
        """The text of `password_file` without byte order mark and surrounding white space. None if it is not set.

        Raises OSError, or ValueError if the file is not UTF-8.
        """
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_bytes().decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.password_file} is not UTF-8: save it as UTF-8") from error

    @property
    def cautions(self) -> Sequence[str]:
        """Settings that work but let others read the password or send commands."""
        found = []
        if self.username is not None and not self.uses_tls and not is_loopback(self.host):
            found.append(
                "name and password cross the network in plain text: set tls_ca_file, and port to the broker's TLS port"
            )
        if (
            self.password_file is not None
            and self.password_file.is_file()
            and self.password_file.stat().st_mode & 0o007
        ):
            found.append(f"others can read the password: chmod o-rwx {self.password_file}")
        if self.commands and self.username is None and self.tls_cert_file is None:
            found.append(
                "commands = true without username: anybody who reaches the broker can switch the inspection off"
            )
        if self.triggers and self.username is None and self.tls_cert_file is None:
            found.append("triggers = true without username: anybody who reaches the broker can announce parts")
        return found

    @model_validator(mode="after")
    def _complete(self) -> MqttSettings:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.tls_cert_file is not None and not self.uses_tls:
            raise ValueError("tls_cert_file needs tls_ca_file")
        if self.tls_system_ca and self.tls_ca_file is not None:
            raise ValueError("tls_system_ca and tls_ca_file exclude each other")
        if (self.page or self.site or self.place) and not (self.birth or self.sparkplug_group):
            raise ValueError("page, site and place are told in the birth: set birth = true, or sparkplug_group")
        if self.birth and not self.retain:
            raise ValueError("birth needs retain = true, because who comes later must see it")
        return self
