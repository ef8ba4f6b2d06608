"""Closes a client's connection, which gRPC itself has no call for."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from urllib.parse import unquote

_OWN_FILES = "/dev/fd"
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def close_connection(peer: str) -> bool:
    """Shut the socket of a peer down, so that gRPC finds the connection at its end.

    Args:
        peer: As gRPC names it: ipv4:10.0.0.7:51512. Those behind a Unix socket all have one name, and stay.

    Returns:
        Whether there was such a connection.
    """
    place = _place_of(peer)
    if place is None:
        return False
    return any(_shut(int(name), place) for name in os.listdir(_OWN_FILES))  # noqa: PTH208 - names alone


def _shut(number: int, place: tuple[str, int]) -> bool:
    """Whether a file of ours was the connection from there; then it is shut down."""
    with contextlib.suppress(OSError):  # no connection, or gone meanwhile
        copy = os.dup(number)  # it stays what it is, whatever gRPC closes and opens meanwhile
        try:
            connection = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            raise
        with connection:
            if connection.family in _INTERNET and _normal(*connection.getpeername()[:2]) == place:
                connection.shutdown(socket.SHUT_RDWR)
                return True
    return False


def _place_of(peer: str) -> tuple[str, int] | None:
    """Address and port; None of a peer that has none.

    >>> _place_of("ipv4:10.0.0.7:51512"), _place_of("ipv6:%5B2001:db8::1%5D:51512"), _place_of("unix:")
    (('10.0.0.7', 51512), ('2001:db8::1', 51512), None)
    """
    kind, _, place = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return None
    host, _, port = unquote(place).rpartition(":")
    return _normal(host.strip("[]"), int(port))


def _normal(host: str, port: int) -> tuple[str, int]:
    """One name for an IPv4 address, also where it comes to a socket of IPv6.

    >>> _normal("::ffff:10.0.0.7", 51512)
    ('10.0.0.7', 51512)
    """
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), port
