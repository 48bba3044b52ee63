"""The settings of the plant's database in the station file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from edge_inspector.host_name import Host, is_loopback
from edge_inspector.settings import Table
from edge_inspector.wording import in_words

_Word = Annotated[
    str,
    Field(pattern=r"^[!-~]{1,63}$", json_schema_extra=in_words("at most 63 letters, digits and signs of ASCII")),
]

PicturesUrl = Annotated[
    str,
    Field(
        pattern=r"^(https?://[^\s?#@]+/)?$",
        json_schema_extra=in_words("empty, or an address that ends with a /, as https://station-1.example/images/"),
    ),
]


class StoreTable(Table):
    """The plant's database in PostgreSQL. `edge-inspector forward` sends the results there. The daemon does not."""

    host: Host
    """Name or address of the server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """TCP port of the server."""
    database: _Word = "edge_inspector"
    """Name of the database. Its tables are in the schema `edge_inspector`."""
    username: _Word = "edge_inspector"
    """User name at the server."""
    password_file: Path | None = None
    """File with the password, UTF-8 text. Only the service should be able to read it."""
    tls_ca_file: Path | None = None
    """Certificate of the authority that signed the server's certificate. Setting it demands TLS."""
    tls_system_ca: bool = False
    """Demand TLS, and trust the authorities that this machine trusts, for a server in a cloud."""
    batch_parts: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Most parts in one transaction. A server that is slow gets smaller ones by itself."""
    interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    """Time between two looks for new parts."""
    timeout_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    """Longest time for one statement. A transaction that takes longer is tried again with fewer parts."""
    hypertable_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """Days in one chunk of a TimescaleDB hypertable, which `parts` becomes then. 0: an ordinary table."""
    pictures_url: PicturesUrl = ""
    """Address below which people reach the station's folder of pictures. The database keeps no picture itself."""

    @property
    def uses_tls(self) -> bool:
        """Whether the connection must be encrypted."""
        return self.tls_system_ca or self.tls_ca_file is not None

    @property
    def place(self) -> str:
        """The database for people."""
        return f"store {self.host}:{self.port}, database {self.database!r}"

    def password(self) -> str | None:
        """The text of `password_file` without byte order mark and surrounding white space. None if it is not set.

        Raises OSError, or ValueError if the file has no UTF-8 text.
        """
        if self.password_file is None:
            return None
        found = self.password_file.read_bytes().decode("utf-8-sig").strip()
        if "\0" in found:
            raise ValueError("NUL")
        return found

    @property
    def cautions(self) -> Iterator[str]:
        """Settings that work but let others read the password or the results."""
        file = self.password_file
        if file is not None and file.is_file() and file.stat().st_mode & 0o007:
            yield f"others can read the password: chmod o-rwx {file}"
        if not self.uses_tls and not is_loopback(self.host):
            yield "results may cross the network in plain text: set tls_ca_file, or tls_system_ca = true"

    @model_validator(mode="after")
    def _one_authority(self) -> StoreTable:
        if self.tls_system_ca and self.tls_ca_file is not None:
            raise ValueError("tls_system_ca and tls_ca_file exclude each other")
        return self
