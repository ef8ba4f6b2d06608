"""Which calls count as one client's."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.clients import address_of, client_of
from server.work.client_weights import parse_weights

# Of ::/64 some are addresses of IPv4.
IPV6 = st.ip_addresses(v=6).filter(lambda address: int(address) >> 64 and not address.is_link_local)


def peer_of(address: ipaddress.IPv6Address, port: int) -> str:
    """As gRPC writes it."""
    return f"ipv6:%5B{address}%5D:{port}"


@given(IPV6, st.integers(0, 2**64 - 1), st.integers(1, 65535))
def test_all_addresses_of_a_network_of_64_bits_are_one_client(
    address: ipaddress.IPv6Address, host: int, port: int
) -> None:
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    assert address_of(peer_of(address, 1)) == address_of(peer_of(neighbour, port))


@given(IPV6, IPV6)
def test_addresses_of_two_networks_are_two_clients(
    first: ipaddress.IPv6Address, second: ipaddress.IPv6Address
) -> None:
    is_one = int(first) >> 64 == int(second) >> 64
    assert (address_of(peer_of(first, 1)) == address_of(peer_of(second, 1))) == is_one


def test_a_certificate_s_name_is_the_client_that_weights_speak_of() -> None:
    context: Any = SimpleNamespace(
        auth_context=lambda: {"x509_common_name": [b"shop"]}, peer=lambda: "ipv4:192.0.2.7:1"
    )
    assert parse_weights("shop=4") == {client_of(context): 4.0}
    context.auth_context = dict
    assert client_of(context) == "ipv4:192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("ipv4:192.0.2.7:1", "ipv4:192.0.2.7"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:1", "ipv4:192.0.2.7"),
        ("ipv6:%5B::1%5D:1", "ipv6:::/64"),
        ("ipv6:%5Bfe80::7%25eth0%5D:1", "ipv6:fe80::7%eth0"),
        ("ipv6:[2001:db8:0:1:2:3:4:5]:1", "ipv6:2001:db8:0:1::/64"),
        ("ipv6:something-else:1", "ipv6:something-else"),
        ("unix:", "unix"),
    ],
)
def test_what_has_no_such_network_is_known_as_it_is(peer: str, client: str) -> None:
    assert address_of(peer) == client
