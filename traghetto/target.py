"""Where a channel leads: the servers that an address names, and the proxy on the way there."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

# Calls go in turn to all servers of an address. That a call is tried again is for this client to decide: by a
# retry policy here gRPC would carry one that kills its server on to the next, and the next.
_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
# gRPC's own are 1 and 120 seconds: long after a server is back nobody would look for it.
_RECONNECT = (("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2000))
MAX_KEEPALIVE_SECONDS = 2_147_483  # gRPC counts milliseconds in 32 bits
MAX_MESSAGE_MIB = 1024  # and bytes
_SCHEMES = ("dns", "ipv4", "ipv6")
# In gRPC's order.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy")


def channel_options(
    address: str, keepalive_seconds: float | None = None, max_message_mib: int = 4
) -> tuple[tuple[str, str | int], ...]:
    """Options of the channel to an address; one that does not leave this machine takes no proxy.

    Args:
        keepalive_seconds: Silence after which the server is asked for a sign of life; None for never.
        max_message_mib: Largest request and answer.

    Raises:
        ValueError: a number is out of its limits.
    """
    if keepalive_seconds is not None and not 1 <= keepalive_seconds <= MAX_KEEPALIVE_SECONDS:
        limits = f"from 1 to {MAX_KEEPALIVE_SECONDS}"
        raise ValueError(f"keepalive_seconds is {keepalive_seconds}, must be {limits} or None")
    if not 1 <= max_message_mib <= MAX_MESSAGE_MIB:
        raise ValueError(f"max_message_mib is {max_message_mib}, must be from 1 to {MAX_MESSAGE_MIB}")
    options: list[tuple[str, str | int]] = [("grpc.service_config", _SERVICE_CONFIG), *_RECONNECT]
    if keepalive_seconds is not None:
        options.append(("grpc.keepalive_time_ms", round(keepalive_seconds * 1000)))
    options += [(f"grpc.max_{way}_message_length", max_message_mib << 20) for way in ("send", "receive")]
    if is_loopback(address):
        options.append(("grpc.enable_http_proxy", 0))
    return tuple(options)


def hosts_of(address: str) -> list[str]:
    """The hosts that a gRPC target names; of a Unix socket or of a scheme unknown here, none.

    >>> hosts_of("127.0.0.1:50051")
    ['127.0.0.1']
    >>> hosts_of("ipv6:[::1]:50051,[::2]:50051")
    ['::1', '::2']
    >>> hosts_of("dns:///translate.example:50051")
    ['translate.example']
    >>> hosts_of("unix:/run/traghetto.sock")
    []
    """
    scheme, colon, rest = address.partition(":")
    if colon and scheme in _SCHEMES:
        places = rest.rsplit("/", 1)[-1]
    elif scheme.startswith("unix") or "://" in address:
        return []
    else:
        places = address
    return [_host(place) for place in places.split(",")]


def is_loopback(address: str) -> bool:
    """Whether all that an address names is on this machine.

    >>> is_loopback("localhost:50051"), is_loopback("127.0.0.1:50051"), is_loopback("10.0.0.1:50051")
    (True, True, False)
    """
    hosts = hosts_of(address)
    return bool(hosts) and all(map(_is_loopback_host, hosts))


def proxy_of(address: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The proxy on the way to an address, as `VARIABLE=URL` without credentials; None without one.

    >>> proxy_of("translate.example:50051", {"http_proxy": "http://user:secret@proxy:3128"})
    'http_proxy=http://proxy:3128'
    >>> proxy_of("translate.example:50051", {"http_proxy": "http://proxy:3128", "no_proxy": ".example"})
    >>> proxy_of("127.0.0.1:50051", {"http_proxy": "http://proxy:3128"})
    """
    hosts = hosts_of(address)
    if is_loopback(address) or not hosts:
        return None
    variable = next((name for name in _PROXY_VARIABLES if environment.get(name)), None)
    exempt = next((environment[name] for name in _NO_PROXY_VARIABLES if environment.get(name)), "")
    suffixes = [suffix.strip() for suffix in exempt.split(",") if suffix.strip()]
    if variable is None or all(any(host.endswith(suffix) for suffix in suffixes) for host in hosts):
        return None
    url = urlsplit(environment[variable])
    return f"{variable}={url.scheme}://{url.netloc.rpartition('@')[2]}"


def _host(place: str) -> str:
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.rpartition(":")[0] if place.count(":") == 1 else place


def _is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
