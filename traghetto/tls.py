"""A client's side of TLS: whom it trusts, and who it is."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from traghetto.errors import TlsError


@dataclass(frozen=True, kw_only=True)
class Tls:
    """How to reach a server with TLS; every file is PEM.

    Args:
        ca: Certificates of the authorities that may vouch for the server; None for those of the system, or of
            the variable SSL_CERT_FILE.
        certificate, key: The client's own, for a server that asks for one; both or neither.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None


def security_of(tls: Tls | None) -> str:
    """How a server is asked, in words for a message.

    >>> security_of(Tls(ca="ca.pem"))
    'with TLS, and without a certificate'
    """
    if tls is None:
        return "without TLS"
    return "with TLS, and a certificate" if tls.certificate else "with TLS, and without a certificate"


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Credentials for a channel to a server with TLS.

    Raises:
        TlsError: with every fault of the files.
    """
    if bool(tls.certificate) != bool(tls.key):
        missing, present = ("key", "certificate") if tls.certificate else ("certificate", "key")
        raise TlsError([f"the {present} {tls.certificate or tls.key} is given without a {missing}"])
    files = {"the certificate": tls.certificate, "the key": tls.key, "the authorities": tls.ca}
    contents: dict[str, bytes | None] = {}
    faults = []
    for name, path in files.items():
        try:
            contents[name] = None if path is None else Path(path).read_bytes()
        except OSError as error:
            faults.append(f"{name} {path}: {error.strerror}")
    if tls.certificate and tls.key and {"the certificate", "the key"} <= contents.keys():
        faults += _identity_faults(tls.certificate, tls.key)
    if authorities := contents.get("the authorities"):
        faults += [f"the authorities {tls.ca} {fault}" for fault in _authority_faults(authorities)]
    elif authorities is not None:
        faults.append(f"the authorities {tls.ca} holds no certificate in PEM")
    if faults:
        raise TlsError(faults)
    return grpc.ssl_channel_credentials(
        authorities or _system_authorities(), contents["the key"], contents["the certificate"]
    )


def _identity_faults(certificate: str | Path, key: str | Path) -> Iterator[str]:
    if not _holds_certificates(Path(certificate).read_bytes()):
        yield f"the certificate {certificate} holds no certificate in PEM"
        return
    is_encrypted = False

    def password() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        return "none"

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if is_encrypted:
            yield f"the key {key} is encrypted: give the key without a password"
        elif error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            yield f"the key {key} does not belong to the first certificate of the certificate {certificate}"
        else:
            yield f"the key {key} holds no private key in PEM"


def _authority_faults(content: bytes) -> Iterator[str]:
    if not _holds_certificates(content):
        yield "holds no certificate in PEM"
        return
    context = _trusting(content)
    # Of certificates that are no authorities' OpenSSL tells the number alone: they may still be valid.
    authorities = context.get_ca_certs()
    if len(authorities) == context.cert_store_stats()["x509"] and all(
        ssl.cert_time_to_seconds(str(authority["notAfter"])) < time.time() for authority in authorities
    ):
        yield "holds only certificates that expired"


def _holds_certificates(content: bytes) -> bool:
    try:
        _trusting(content)
    except (ssl.SSLError, ValueError):  # the second for nothing at all
        return False
    return True


def _trusting(content: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    return context


def _system_authorities() -> bytes | None:
    """What OpenSSL would trust; gRPC alone takes a list of its own, without a company's authority."""
    path = ssl.get_default_verify_paths().cafile
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise TlsError([f"the system's authorities {path}: {error.strerror}"]) from error
