"""The real server as a process, serving several artifacts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_server(*artifacts: Path) -> Iterator[str]:
    """Start traghetto-serve on a free port; gives its address."""
    command = [sys.executable, "-m", "server.serve_command", *map(str, artifacts)]
    command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--log-level", "warning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "grpc=" in line, "the server did not start"
            yield line.split("grpc=")[1].split()[0]
        finally:
            process.terminate()
