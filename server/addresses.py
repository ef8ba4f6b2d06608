"""Where a server listens or sends: HOST:PORT, and who can reach it."""

from __future__ import annotations

import ipaddress


class AddressError(ValueError):
    """What should be an address is none."""


def split_address(value: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT" or "[IPV6]:PORT".

    >>> split_address("[::1]:50051")
    ('::1', 50051)

    Raises:
        AddressError: no host, or no port from 0 to 65535.
    """
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise AddressError(f"{value!r} is no HOST:PORT with a port from 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_collector_url(value: str) -> bool:
    """Whether it is the scheme, host and port of a gRPC server: no path, which gRPC would drop."""
    scheme, _, address = value.partition("://")
    try:
        host, _ = split_address(address.removesuffix("/"))
    except AddressError:
        return False
    return scheme in ("http", "https") and not set(host) & set("/@?#")
