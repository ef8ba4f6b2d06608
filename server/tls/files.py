"""What the files behind TLS must hold, read and checked, for server and client; knows no gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class TlsError(ValueError):
    """Files that cannot serve for TLS; lists every fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class PemFile(NamedTuple):
    """A file, and what its faults call it: a flag, for example."""

    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Where one side of a connection takes its identity and its trust from, in PEM.

    Args:
        certificate: Its own certificate, then those that lead from it to an authority.
        key: The certificate's private key, not encrypted.
        authorities: Certificates of those who may vouch for the other side.
    """

    certificate: PemFile | None = None
    key: PemFile | None = None
    authorities: PemFile | None = None


class TlsBytes(NamedTuple):
    """What the files hold, unchecked: empty without such a file, a text that says why one cannot be read."""

    certificate: bytes | str
    key: bytes | str
    authorities: bytes | str


@dataclass(frozen=True, kw_only=True)
class TlsContents:
    """Checked contents.

    Args:
        certificate, key, authorities: PEM; None without such a file.
        serial: Serial number of the first certificate, 0 without one.
        expiry: When the first certificate ends; the last moment that there is, without one.
    """

    certificate: bytes | None
    key: bytes | None = field(repr=False)
    authorities: bytes | None
    serial: int
    expiry: datetime


def read_bytes(files: TlsFiles) -> TlsBytes:
    """The files as they are now."""
    return TlsBytes(_read(files.certificate), _read(files.key), _read(files.authorities))


def check(files: TlsFiles, unchecked: TlsBytes) -> TlsContents:
    """Check that what the files hold can serve for TLS now.

    Raises:
        TlsError: with every fault: a file that cannot be read or is no PEM, a key of another certificate
            or of a kind that gRPC does not negotiate, a certificate outside its time.
    """
    now = datetime.now(UTC)
    faults = [
        f"{file}: {text}"
        for file, text in zip(_in_order(files), unchecked, strict=True)
        if isinstance(text, str)
    ]
    leaf = None
    if files.certificate and isinstance(unchecked.certificate, bytes):
        chain = _certificates(unchecked.certificate)
        leaf = chain[0] if chain else None
        faults += [f"{files.certificate} {fault}" for fault in _certificate_faults(leaf, now)]
    if files.key and isinstance(unchecked.key, bytes):
        faults += [f"{files.key} {fault}" for fault in _key_faults(unchecked.key, leaf, files.certificate)]
    if files.authorities and isinstance(unchecked.authorities, bytes):
        trusted = _certificates(unchecked.authorities)
        faults += [f"{files.authorities} {fault}" for fault in _authority_faults(trusted, now)]
    if faults:
        raise TlsError(faults)
    certificate, key, authorities = (i if isinstance(i, bytes) and i else None for i in unchecked)
    return TlsContents(
        certificate=certificate,
        key=key,
        authorities=authorities,
        serial=leaf.serial_number if leaf else 0,
        expiry=leaf.not_valid_after_utc if leaf else datetime.max.replace(tzinfo=UTC),
    )


def _in_order(files: TlsFiles) -> tuple[PemFile | None, ...]:
    return files.certificate, files.key, files.authorities


def _read(file: PemFile | None) -> bytes | str:
    if file is None:
        return b""
    try:
        return Path(file.path).read_bytes()
    except OSError as error:
        return error.strerror or str(error)


def _certificates(content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        return []


def _certificate_faults(leaf: x509.Certificate | None, now: datetime) -> Iterator[str]:
    # Of the chain only the first: an authority's old certificate may well be served beside its new one.
    if leaf is None:
        yield "holds no certificate in PEM"
        return
    if leaf.not_valid_after_utc < now:
        yield f"expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    if leaf.not_valid_before_utc > now:
        yield f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC"
    if not _is_negotiated(leaf.public_key()):
        yield "has a key of a kind that gRPC does not negotiate: it takes RSA and the curves P-256 and P-384"


def _is_negotiated(key: PublicKeyTypes) -> bool:
    """Whether gRPC's TLS signs with this kind of key; with another one every handshake would fail."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, rsa.RSAPublicKey)


def _key_faults(content: bytes, leaf: x509.Certificate | None, certificate: PemFile | None) -> Iterator[str]:
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        yield "is encrypted: give the key without a password"
    except (ValueError, UnsupportedAlgorithm):
        yield "holds no private key in PEM"
    else:
        if leaf is not None and key.public_key() != leaf.public_key():
            yield f"does not belong to the first certificate of {certificate}"


def _authority_faults(trusted: list[x509.Certificate], now: datetime) -> Iterator[str]:
    if not trusted:
        yield "holds no certificate in PEM"
    elif all(i.not_valid_after_utc < now for i in trusted):
        yield "holds only certificates that expired"
