"""Runs a page's blocks as its reader would: in order, in one folder, servers in the background."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.pages import Block

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 600.0  # for a slow machine; nothing here measures speed
_PORT = re.compile(r"127\.0\.0\.1:(\d+)")


class PageRunner:
    """A reader's two shells.

    Each port of 127.0.0.1 that the page names stands for a free one, so that no other server of this
    machine is met.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: dict[str, int] = {}
        self._servers: list[subprocess.Popen[bytes]] = []
        self._output = ""
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),  # the sources of this checkout
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE_SECONDS) == 0

    def do(self, block: Block) -> None:
        """Run a block, or compare what the last one printed with what this one shows."""
        code = _PORT.sub(lambda match: f"127.0.0.1:{self._port(match[1])}", block.code)
        if block.role == "file":
            (self._folder / block.argument).write_text(code, encoding="utf-8")
        elif block.role == "background":
            self._start(code, block.argument)
        elif block.role == "output":
            self._compare(code, block.argument)
        elif block.role == "run":
            self._output = self._run(code, block.language)
        else:
            assert block.role == "skip", f"no such role: {block.role}"

    def address(self, port: str) -> str:
        """Where what the page has at this port of 127.0.0.1 listens."""
        return f"127.0.0.1:{self._port(port)}"

    def _port(self, number: str) -> int:
        if number not in self._ports:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                self._ports[number] = listener.getsockname()[1]
        return self._ports[number]

    def _run(self, code: str, language: str) -> str:
        program = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
        ended = subprocess.run(
            [*program, code],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, f"{code}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def _start(self, code: str, mark: str) -> None:
        """Start a server, and wait until it prints the mark."""
        log = self._folder / f"background-{len(self._servers)}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {code}"],  # noqa: S607 - the reader's own shell
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        self._servers.append(server)
        until = time.monotonic() + PATIENCE_SECONDS
        while mark not in log.read_text(encoding="utf-8"):
            assert server.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.1)

    def _compare(self, expected: str, part: str) -> None:
        printed, expected = self._output.rstrip("\n"), expected.rstrip("\n")
        if part == "prefix":
            assert printed.startswith(expected), printed
        elif part == "suffix":
            assert printed.endswith(expected), printed
        else:
            assert printed == expected
