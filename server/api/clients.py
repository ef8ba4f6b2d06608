"""Who a call comes from, as far as the server can tell."""

from __future__ import annotations

from typing import Any

import grpc


def client_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The name in the client's certificate where there is one, else its address without the port."""
    for name in context.auth_context().get("x509_common_name", ()):
        return f"certificate:{name.decode(errors='replace')}"
    return address_of(context.peer())


def address_of(peer: str) -> str:
    """A peer as gRPC names it, without what differs from connection to connection.

    >>> [address_of(peer) for peer in ("ipv4:10.0.0.7:51512", "ipv6:%5B::1%5D:51512", "unix:")]
    ['ipv4:10.0.0.7', 'ipv6:%5B::1%5D', 'unix']
    """
    return peer.rpartition(":")[0]
