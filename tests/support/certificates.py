"""Certificates for servers on loopback: of an authority, of another one, and such as have expired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_NOW = datetime.now(UTC)  # noqa: TID251 -- libraries compare certificates with the wall clock


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, both in PEM."""

    public: bytes
    private: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """The files of both."""
        files = folder / f"{name}.pem", folder / f"{name}.key"
        for file, content in zip(files, (self.public, self.private), strict=True):
            file.write_bytes(content)
        return files


class Authority:
    """Signs certificates for 127.0.0.1 and localhost."""

    def __init__(self, name: str = "works") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = _builder(self._name, self._name, self._key, _NOW + timedelta(days=2)).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = built.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def server(self, *, ended: timedelta = timedelta(days=-2), host: str = "127.0.0.1") -> Certificate:
        """One that has ended so long ago. A negative time is still to come."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names: list[x509.GeneralName] = [x509.DNSName("localhost" if host == "127.0.0.1" else host)]
        if host == "127.0.0.1":
            names.append(x509.IPAddress(ip_address(host)))
        built = (
            _builder(subject, self._name, key, _NOW - ended)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        made = built.sign(self._key, hashes.SHA256())
        return Certificate(
            made.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=20))
        .not_valid_after(ends)
    )
