"""A client's side of TLS: whom it trusts, and who it is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from server.tls.files import PemFile, TlsError, TlsFiles, check, read_bytes


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


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """For a channel to a server with TLS.

    Raises:
        TlsError: with every fault of the files.
    """
    files = TlsFiles(
        certificate=_file("the certificate", tls.certificate),
        key=_file("the key", tls.key),
        authorities=_file("the authorities", tls.ca),
    )
    if bool(files.certificate) != bool(files.key):
        missing = "certificate" if files.key else "key"
        raise TlsError([f"{files.certificate or files.key} is given without a {missing}"])
    contents = check(files, read_bytes(files))
    authorities = contents.authorities or _system_authorities()
    return grpc.ssl_channel_credentials(authorities, contents.key, contents.certificate)


def _file(name: str, path: str | Path | None) -> PemFile | None:
    return None if path is None else PemFile(name, str(path))


def _system_authorities() -> bytes | None:
    """What OpenSSL would trust; gRPC alone takes a list of its own, without a company's authority."""
    path = ssl.get_default_verify_paths().cafile
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise TlsError([f"the system's authorities {path}: {error.strerror}"]) from error
