"""Binds gRPC's listeners to ports and Unix sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from server.addresses import socket_path, split_address
from server.tls.certificates import Certificates

SOCKET_MODE = 0o660  # the server's user and group may connect: whoever shall, is put into the group


class ServeError(RuntimeError):
    """An address cannot be bound."""

    exit_status = 1


def bind(server: grpc.aio.Server, address: str, certificates: Certificates | None = None) -> str:
    """Bind a listener; returns where it is, with the port that port 0 became.

    Raises:
        ServeError: the address is taken, or cannot be had.
    """
    path = socket_path(address)
    if path is not None:
        with _socket_file(Path(path), address):
            _add_port(server, f"unix:{path}", address, certificates)
        return f"unix:{path}"
    host, port = split_address(address)
    return joined_address(host, _add_port(server, joined_address(host, port), address, certificates))


def joined_address(host: str, port: int) -> str:
    """HOST:PORT.

    >>> joined_address("::1", 50051)
    '[::1]:50051'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _add_port(server: grpc.aio.Server, place: str, address: str, certificates: Certificates | None) -> int:
    try:
        if certificates is None:
            bound = server.add_insecure_port(place)
        else:
            bound = server.add_secure_port(place, certificates.credentials())
    except RuntimeError as error:
        raise ServeError(f"cannot listen on {address}: {error}") from error
    if bound == 0:
        raise ServeError(f"cannot listen on {address}")
    return bound


@contextmanager
def _socket_file(path: Path, address: str) -> Iterator[None]:
    """Make room for a socket's file, and give it its mode.

    gRPC itself would take the file away from a server that is using it.

    Raises:
        ServeError: it is in use, or is something else than a socket.
    """
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            if _is_in_use(path):
                raise ServeError(f"cannot listen on {address}: another process does")
            path.unlink()  # of a server that was killed
        else:
            raise ServeError(f"cannot listen on {address}: the file is there, and is no socket")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ServeError(f"cannot listen on {address}: {error.strerror}") from error
    old = os.umask(0o777 & ~stat.S_IRWXU)  # nobody else gets in before the mode is set
    try:
        yield
    finally:
        os.umask(old)
    path.chmod(SOCKET_MODE)


def _is_in_use(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True
