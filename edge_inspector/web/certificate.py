"""When a certificate expires. Python tells that only of certificates that it trusts, and not of the page's own."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _TIME = 0x30, 0xA0, 0x17, 0x18


def expiry(path: Path) -> datetime:
    """When the first certificate of this PEM file expires. Raises OSError, or ValueError if it has none."""
    found = [_not_after(ssl.PEM_cert_to_DER_cert(each)) for each in _PEM.findall(path.read_text())]
    if not found:
        raise ValueError(f"{path} has no certificate")
    return min(found)


def _not_after(certificate: bytes) -> datetime:
    """The end of its validity (RFC 5280): after version, serial number, algorithm and issuer."""
    (_, whole), *_ = _values(certificate)
    (_, signed), *_ = _values(whole)
    fields = [(kind, value) for kind, value in _values(signed) if kind != _VERSION]
    _, _, validity, *_ = [value for kind, value in fields if kind == _SEQUENCE]
    _, (kind, text) = list(_values(validity))
    if kind not in (_UTC_TIME, _TIME):
        raise ValueError("a certificate without an end")
    pattern = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), pattern).replace(tzinfo=UTC)


def _values(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each DER value. Raises ValueError."""
    at = 0
    while at < len(encoded):
        if at + 2 > len(encoded):
            raise ValueError("a certificate that is cut off")
        kind, size = encoded[at], encoded[at + 1]
        at += 2
        if size & 0x80:
            width = size & 0x7F
            size = int.from_bytes(encoded[at : at + width])
            at += width
        if at + size > len(encoded):
            raise ValueError("a certificate that is cut off")
        yield kind, encoded[at : at + size]
        at += size
