"""What the station file says of the MQTT link."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge_inspector.drivers import DriverSettings
from edge_inspector.host_name import Host


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

    @model_validator(mode="after")
    def _complete(self) -> MqttSettings:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.tls_cert_file is not None and self.tls_ca_file is None:
            raise ValueError("tls_cert_file needs tls_ca_file")
        return self
