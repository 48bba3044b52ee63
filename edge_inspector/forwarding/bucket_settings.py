"""The settings of a bucket in an S3-compatible store in the station file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.forwarding.settings import PicturesUrl
from edge_inspector.host_name import is_loopback
from edge_inspector.settings import Table
from edge_inspector.wording import in_words

_KEY: Final = re.compile(r"[!-~]{1,256}")


class BucketTable(Table):
    """A bucket in an S3-compatible store. `edge-inspector forward` writes the results there as Parquet files."""

    endpoint: Annotated[
        str,
        Field(
            pattern=r"^https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$",
            json_schema_extra=in_words("an address without a path, as https://s3.works.example:9000"),
        ),
    ]
    """Address of the store, as `https://s3.works.example:9000`."""
    bucket: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            json_schema_extra=in_words("3 to 63 small letters, digits, dots and hyphens"),
        ),
    ]
    """Name of the bucket. It must be there."""
    prefix: Annotated[
        str,
        Field(
            pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]{0,62}/){0,8}$",
            json_schema_extra=in_words("empty, or names with a / behind each, as inspection/"),
        ),
    ] = ""
    """What the names of all objects begin with, as `inspection/`."""
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")] = "us-east-1"
    """Region of the bucket. Most stores outside of Amazon's cloud take any."""
    access_key_file: Path | None = None
    """File with the access key. Not set: `AWS_ACCESS_KEY_ID` of the environment."""
    secret_key_file: Path | None = None
    """File with the secret key. Only the service should be able to read it. Not set: `AWS_SECRET_ACCESS_KEY`."""
    tls_ca_file: Path | None = None
    """Certificate of the authority that signed the store's certificate. It is trusted beside those of this machine."""
    file_parts: Annotated[int, Field(ge=1, le=50_000)] = 10_000
    """Most parts in one Parquet file. It is written as soon as so many wait."""
    file_s: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """Longest time that a part waits for others, so that files do not get many and small."""
    interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 30.0
    """Time between two looks for new parts."""
    timeout_s: Annotated[float, Field(ge=1, le=600)] = 60.0
    """Longest time for one request."""
    pictures_url: PicturesUrl = ""
    """Address below which people reach the station's folder of pictures. The bucket keeps no picture itself."""

    @property
    def place(self) -> str:
        """The bucket for people."""
        return f"bucket {self.endpoint}/{self.bucket}/{self.prefix}".rstrip("/")

    def keys(self) -> tuple[str, str]:
        """Access key and secret key. Raises ConfigError if one is missing."""
        return (
            _key("access_key_file", self.access_key_file, "AWS_ACCESS_KEY_ID"),
            _key("secret_key_file", self.secret_key_file, "AWS_SECRET_ACCESS_KEY"),
        )

    def authority(self) -> bytes | None:
        """The content of `tls_ca_file`. Raises ConfigError if it cannot be read."""
        if self.tls_ca_file is None:
            return None
        try:
            found = self.tls_ca_file.read_bytes()
        except OSError as error:
            what = f"{self.tls_ca_file} cannot be read: {error.strerror}"
            raise ConfigError([Fault("bucket.tls_ca_file", what)]) from error
        if b"-----BEGIN CERTIFICATE-----" not in found:
            raise ConfigError([Fault("bucket.tls_ca_file", f"{self.tls_ca_file} has no certificate in PEM")])
        return found

    @property
    def cautions(self) -> Iterator[str]:
        """Settings that work but let others read a key or the results."""
        for file in (self.access_key_file, self.secret_key_file):
            if file is not None and file.is_file() and file.stat().st_mode & 0o007:
                yield f"others can read the key: chmod o-rwx {file}"
        address = urlsplit(self.endpoint)
        if address.scheme == "http" and not is_loopback(address.hostname or ""):
            yield "results cross the network in plain text: write https:// into bucket.endpoint"


def _key(setting: str, file: Path | None, variable: str) -> str:
    if file is None:
        found = os.environ.get(variable, "").strip()
        missing = f"is not set, and {variable} is not in the environment: write the key into a file and name it"
    else:
        try:
            found = file.read_text(encoding="utf-8-sig").strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise ConfigError([Fault(f"bucket.{setting}", f"{file} cannot be read: {why}")]) from error
        missing = f"{file} has no key in it: one line without spaces"
    if not _KEY.fullmatch(found):
        raise ConfigError([Fault(f"bucket.{setting}", missing)])
    return found
