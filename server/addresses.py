"""Where a server listens or sends: HOST:PORT or a Unix socket, and who can reach it."""

from __future__ import annotations

import ipaddress

MAX_SOCKET_PATH_BYTES = 107  # Linux: 108 with the zero at the end


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


def socket_path(value: str) -> str | None:
    """The path of "unix:PATH" or "unix:///PATH"; None of any other address.

    >>> socket_path("unix:/run/traghetto.sock"), socket_path("127.0.0.1:50051")
    ('/run/traghetto.sock', None)

    Raises:
        AddressError: the path is empty, or longer than a socket's may be.
    """
    scheme, colon, path = value.partition(":")
    if not colon or scheme != "unix":
        return None
    path = path.removeprefix("//")
    if not path or len(path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise AddressError(f"{value!r} is no unix:PATH with a path of 1 to {MAX_SOCKET_PATH_BYTES} bytes")
    return path


def is_local(value: str) -> bool:
    """Whether only this machine can reach an address: HOST:PORT or unix:PATH.

    Raises:
        AddressError: it is none of these.

    >>> is_local("unix:/run/traghetto.sock"), is_local("[::1]:50051"), is_local("0.0.0.0:50051")
    (True, True, False)
    """
    return socket_path(value) is not None or is_loopback(split_address(value)[0])


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
