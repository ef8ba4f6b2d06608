"""The server's side of TLS: certificates that are read again when their files change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import cast

import grpc

from server.tls.files import TlsBytes, TlsContents, TlsError, TlsFiles, check, read_bytes

log = logging.getLogger("traghetto")
_MAX_READS = 3


class Certificates:
    """The certificate in use, its key, and whose clients are let in; for use from any thread.

    Files are compared by content: a mounted secret changes by a link that is swapped, and a copy may keep the
    time of its source. New contents that cannot serve are logged once, and the old ones stay.

    Args:
        files: A certificate and its key; with authorities, clients must have a certificate of one of these.
        set_expiry: Told when the certificate in use ends, in unix seconds, at first and after each change.

    Raises:
        TlsError: the files cannot serve.
    """

    def __init__(self, files: TlsFiles, set_expiry: Callable[[float], None]) -> None:
        self._files, self._set_expiry = files, set_expiry
        self._lock = threading.Lock()
        self._last_fault = ""
        self._bytes = read_bytes(files)
        self._contents = check(files, self._bytes)
        self._tell("TLS")

    def refresh(self) -> TlsContents:
        """Read the files again; gives what is in use from now on."""
        with self._lock:
            unchecked = read_bytes(self._files)
            for _ in range(_MAX_READS):
                if unchecked == self._bytes:
                    self._last_fault = ""
                    break
                try:
                    contents = check(self._files, unchecked)
                except TlsError as error:
                    again = read_bytes(self._files)
                    if again == unchecked:
                        self._refuse(str(error))
                        break
                    unchecked = again  # the files were swapped while they were read
                else:
                    self._take(unchecked, contents)
                    break
            return self._contents

    def credentials(self) -> grpc.ServerCredentials:
        """For one port; every handshake looks at the files first."""
        latest = self._contents

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal latest
            contents = self.refresh()
            if contents is latest:
                return None  # the port keeps what it has
            latest = contents
            return _configuration(contents)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(latest),
            cast("Callable[[], grpc.ServerCertificateConfiguration]", fetch),  # its type leaves None out
            require_client_authentication=latest.authorities is not None,
        )

    def _take(self, unchecked: TlsBytes, contents: TlsContents) -> None:
        self._bytes, self._contents, self._last_fault = unchecked, contents, ""
        self._tell("TLS has new files")

    def _refuse(self, fault: str) -> None:
        if fault != self._last_fault:
            log.error("the new TLS files are refused, the old certificate stays: %s", fault)
        self._last_fault = fault

    def _tell(self, what: str) -> None:
        self._set_expiry(self._contents.expiry.timestamp())
        log.info("%s: certificate %x is valid until %s", what, self._contents.serial, self._contents.expiry)


def _configuration(contents: TlsContents) -> grpc.ServerCertificateConfiguration:
    # A new one each time: gRPC takes a configuration's contents away when it uses it.
    assert contents.certificate is not None
    assert contents.key is not None
    return grpc.ssl_server_certificate_configuration(
        [(contents.key, contents.certificate)], contents.authorities
    )
