"""The settings of the MQTT link in the station file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.host_name import Host, is_loopback
from edge_inspector.wording import in_words


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
    commands: bool = False
    """Accept commands over MQTT. Set it only if the broker checks names and rights."""

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
        if self.username is not None and self.tls_ca_file is None and not is_loopback(self.host):
            found.append(
                "name and password cross the network readable: set tls_ca_file, and port to the broker's TLS port"
            )
        if (
            self.password_file is not None
            and self.password_file.is_file()
            and self.password_file.stat().st_mode & 0o007
        ):
            found.append(f"others can read the password: chmod o-rwx {self.password_file}")
        if self.commands and self.username is None and self.tls_cert_file is None:
            found.append("commands = true without username: whoever reaches the broker may switch the inspection off")
        return found

    @model_validator(mode="after")
    def _complete(self) -> MqttSettings:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.tls_cert_file is not None and self.tls_ca_file is None:
            raise ValueError("tls_cert_file needs tls_ca_file")
        return self
