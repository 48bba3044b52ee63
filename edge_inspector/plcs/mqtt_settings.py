"""What the station file says of the MQTT link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge_inspector.drivers import DriverSettings
from edge_inspector.host_name import Host, is_loopback


class MqttSettings(DriverSettings):
    """Where the broker is and how to talk to it."""

    host: Host
    port: int = Field(default=1883, ge=1, le=65535)
    topic_prefix: str = Field(
        default="edge",
        pattern=r"^[^/+#$]+(/[^/+#]+)*$",
        description="levels with / between them, none at either end, and without + # and $",
    )
    version: Literal["5", "3.1.1"] = "5"
    client_id: str | None = Field(default=None, min_length=1)
    username: str | None = None
    password_file: Path | None = None
    tls_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    keepalive_s: int = Field(default=5, ge=2, le=3600)
    connect_timeout_s: float = Field(default=1.0, gt=0, le=10)
    inflight: int = Field(default=100, ge=1, le=200)
    outbox_max_rows: int = Field(default=100_000, ge=2)
    packet_max_bytes: int = Field(default=262_144, ge=2048)
    commands: bool = False

    def password(self) -> str | None:
        """What `password_file` holds, without a byte order mark and surrounding white space.

        Raises OSError, and ValueError where it is not UTF-8.
        """
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_bytes().decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.password_file} is not UTF-8: save it as UTF-8") from error

    @property
    def cautions(self) -> Sequence[str]:
        """What works, and lets others in."""
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
