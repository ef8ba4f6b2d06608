"""A server on a Unix socket: who may connect, and what becomes of the file."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.running_server import PATIENCE_SECONDS, RECURRENT, StartServer, run_server
from traghetto import Client, Translation

ServeInVain = Callable[..., subprocess.CompletedProcess[str]]


def translated(address: str) -> str:
    with Client(address, PATIENCE_SECONDS) as client:
        (result,) = client.translate(["The cat is on the table."], "en", "it")
    assert isinstance(result, Translation)
    return result.text


def test_a_socket_serves_its_group_and_its_file_goes_with_the_server(
    start_server: StartServer, serve_in_vain: ServeInVain, tmp_path: Path
) -> None:
    path = tmp_path / "traghetto.sock"
    listen = f"--listen=unix:{path}"
    with start_server(RECURRENT, listen, f"--admin-listen=unix://{tmp_path}/admin.sock") as running:
        assert (running.address, running.admin) == (f"unix:{path}", f"unix:{tmp_path}/admin.sock")
        assert stat.S_IMODE(path.lstat().st_mode) == 0o660
        assert translated(running.address)
        ended = serve_in_vain(RECURRENT, listen)
        assert ended.returncode == 1
        assert f"cannot listen on unix:{path}: another process does" in ended.stderr
        assert translated(running.address)
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_server_that_was_killed_is_replaced_and_another_one_is_not(
    serve_in_vain: ServeInVain, tmp_path: Path
) -> None:
    path, other = tmp_path / "traghetto.sock", tmp_path / "other"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert path.is_socket()
    with run_server(tmp_path / "log", RECURRENT, f"--listen=unix:{path}", expected_status=-9) as running:
        assert translated(running.address)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(PATIENCE_SECONDS)
    assert path.is_socket()
    other.write_text("something else")
    ended = serve_in_vain(RECURRENT, f"--listen=unix:{other}")
    assert (ended.returncode, other.read_text()) == (1, "something else")
    assert "no socket" in ended.stderr
