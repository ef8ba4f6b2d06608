"""Which socket is closed when a peer's connection is to be."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from server.api.connections import close_connection


def own_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.parametrize(
    ("family", "host", "form"),
    [
        (socket.AF_INET, "127.0.0.1", "ipv4:127.0.0.1:{}"),
        (socket.AF_INET6, "::1", "ipv6:%5B::1%5D:{}"),
    ],
    ids=["ipv4", "ipv6"],
)
def test_the_connection_of_a_peer_is_closed_and_no_other(
    family: socket.AddressFamily, host: str, form: str
) -> None:
    with socket.create_server((host, 0), family=family) as listener:
        clients = [socket.create_connection((host, listener.getsockname()[1])) for _ in range(3)]
        accepted = [listener.accept()[0] for _ in clients]
        before = own_files()
        peer = form.format(clients[1].getsockname()[1])
        assert close_connection(peer)
        assert clients[1].recv(1) == b""
        for client, ours in zip(clients[::2], accepted[::2], strict=True):
            ours.sendall(b"1")
            assert client.recv(1) == b"1"
        assert own_files() == before, "it holds no file of its own"
        for ours in accepted:
            ours.close()
        assert not close_connection(peer)
        for client in clients:
            client.close()


def test_an_ipv4_client_of_a_socket_for_both_is_found() -> None:
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener,
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as client,
        listener.accept()[0],
    ):
        assert close_connection(f"ipv4:127.0.0.1:{client.getsockname()[1]}")
        assert client.recv(1) == b""


def test_a_peer_without_a_port_is_nobody() -> None:
    assert not close_connection("unix:")
