"""The gateway's configuration: its fields, their defaults, and the rules between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from server.addresses import AddressError, split_address
from traghetto.tls import Tls

MAX_BODY_MIB = 1024
_LIMITS = {
    "max_body_mib": (1, MAX_BODY_MIB),
    "max_message_mib": (1, 1024),
    "max_file_jobs": (1, 10_000),
    "timeout_seconds": (0.001, 86_400.0),
    "drain_seconds": (0.0, 86_400.0),
    "file_seconds": (1.0, 604_800.0),
}


class GatewayConfigError(ValueError):
    """Flags or variables of the gateway that make no sense; lists every fault."""


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """What the gateway listens on, which server it asks, and where its limits are.

    Args:
        server: gRPC target of the server, or of several that take calls in turn.
        listen: HOST:PORT for HTTP; port 0 takes a free one.
        metrics_listen: HOST:PORT for Prometheus metrics; None for none.
        tls: How to reach the server with TLS; None is plain text.
        cors_origins: Origins whose pages may call it from a browser; "*" is every one.
        max_body_mib: Largest body of a request, a file among them.
        max_message_mib: Largest message to and from the server.
        timeout_seconds: Of a call to the server, and of a body to arrive.
        drain_seconds: How long running requests may still take once it stops.
        file_seconds: How long a translated file can be fetched.
        max_file_jobs: Files that are kept at once, those in work among them.
        stop_with: Process id of the parent with which the gateway stops; None for none.
        page: Folder of the page.

    Raises:
        GatewayConfigError: fields break a rule; lists every fault.
    """

    server: str = "127.0.0.1:50051"
    listen: str = "127.0.0.1:8080"
    metrics_listen: str | None = None
    tls: Tls | None = None
    cors_origins: tuple[str, ...] = ()
    max_body_mib: int = 16
    max_message_mib: int = 4
    timeout_seconds: float = 60.0
    drain_seconds: float = 30.0
    file_seconds: float = 3600.0
    max_file_jobs: int = 100
    stop_with: int | None = None
    page: Path = Path(__file__).parent / "page"

    def __post_init__(self) -> None:
        faults = [*self._number_faults(), *self._address_faults(), *self._origin_faults()]
        if faults:
            raise GatewayConfigError("; ".join(faults))

    def _number_faults(self) -> list[str]:
        faults = []
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and least <= value <= most):
                faults.append(f"{flag_of(name)} is {value}, must be from {least:g} to {most:g}")
        return faults

    def _address_faults(self) -> list[str]:
        faults = []
        for name in ("listen", "metrics_listen"):
            try:
                if (value := getattr(self, name)) is not None:
                    split_address(value)
            except AddressError as error:
                faults.append(f"{flag_of(name)}: {error}")
        if not self.server:
            faults.append("--server is empty, must be HOST:PORT or another gRPC target")
        return faults

    def _origin_faults(self) -> list[str]:
        return [
            f"--cors-origin is {origin!r}, must be * or SCHEME://HOST[:PORT]"
            for origin in self.cors_origins
            if origin != "*" and not _is_origin(origin)
        ]


def flag_of(name: str) -> str:
    """The flag of a field: "max_body_mib" is "--max-body-mib"."""
    return f"--{name.replace('_', '-')}"


def _is_origin(value: str) -> bool:
    scheme, mark, host = value.partition("://")
    return bool(mark and host) and scheme in {"http", "https"} and not set(host) & set("/?#@ ")
