"""Who a call comes from, as far as the server can tell."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import unquote

import grpc

from server.access.admission import current_tenant
from server.work.client_weights import named_client

_IPV6 = "ipv6:"
_NETWORK_BITS = 64


def client_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Its tenant by the access file, else the name in the client's certificate, else its address.

    The address is as `address_of` has it.
    """
    if (tenant := current_tenant()) is not None:
        return named_client(tenant.name)
    for name in context.auth_context().get("x509_common_name", ()):
        return named_client(name.decode(errors="replace"))
    return address_of(context.peer())


def address_of(peer: str) -> str:
    """A peer as gRPC names it, without what differs from connection to connection.

    That is the port, and of IPv6 the second half of the address too: a host takes as many of these as it
    likes (RFC 4291, section 2.5.4; RFC 8981). Link-local addresses, which are of one network all, stay whole.

    >>> [address_of(peer) for peer in ("ipv4:10.0.0.7:51512", "ipv6:%5B2001:db8::1:2:3%5D:51512", "unix:")]
    ['ipv4:10.0.0.7', 'ipv6:2001:db8::/64', 'unix']
    """
    place = peer.rpartition(":")[0]
    return _network_of(place) if place.startswith(_IPV6) else place


def _network_of(place: str) -> str:
    try:
        address = ipaddress.IPv6Address(unquote(place.removeprefix(_IPV6)).strip("[]"))
    except ipaddress.AddressValueError:
        return place
    if address.ipv4_mapped is not None:
        return f"ipv4:{address.ipv4_mapped}"
    if address.is_link_local:
        return f"{_IPV6}{address}"
    return f"{_IPV6}{ipaddress.IPv6Network((int(address), _NETWORK_BITS), strict=False)}"
