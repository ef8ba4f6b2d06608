"""Authorities and certificates for tests of TLS, made when they are needed."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate for 127.0.0.1 and its key, in PEM."""

    certificate: bytes
    key: bytes
    serial: int
    expiry: datetime

    def write(self, folder: Path) -> tuple[Path, Path]:
        """As Kubernetes names them."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tls.crt").write_bytes(self.certificate)
        (folder / "tls.key").write_bytes(self.key)
        return folder / "tls.crt", folder / "tls.key"


class Authority:
    """Signs certificates; its own is in `certificate`, in PEM."""

    def __init__(self, name: str = "test authority", valid_days: tuple[float, float] = (-400, 400)) -> None:
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(self._name, self._name, self._key, valid_days)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        signed = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self.certificate = signed.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str = "server",
        valid_days: tuple[float, float] = (-1, 30),
        key: CertificateIssuerPrivateKeyTypes | None = None,
    ) -> Issued:
        """A certificate that begins and ends so many days from now, with a new key or the given one."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), self._name, own, valid_days)
        places = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = builder.add_extension(places, critical=False).sign(self._key, hashes.SHA256())
        return Issued(
            certificate=signed.public_bytes(serialization.Encoding.PEM),
            key=pem(own),
            serial=signed.serial_number,
            expiry=signed.not_valid_after_utc,
        )


def pem(key: CertificateIssuerPrivateKeyTypes, password: bytes = b"") -> bytes:
    """A private key, encrypted if there is a password."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificateIssuerPrivateKeyTypes,
    valid_days: tuple[float, float],
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    begin, end = (now + timedelta(days=days) for days in valid_days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
