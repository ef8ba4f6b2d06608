"""The programs that these tests run and do not bring along."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

# Debian's name differs from the project's own.
_NAMES = {"alertmanager": ("alertmanager", "prometheus-alertmanager")}
_PACKAGES = {
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}


def program(name: str) -> str:
    """Where a program is.

    Raises:
        AssertionError: it is not installed.
    """
    for candidate in _NAMES.get(name, (name,)):
        if found := shutil.which(candidate):
            return found
    raise AssertionError(f"{name} is not installed: apt-get install {_PACKAGES[name]}")


def run(name: str, *arguments: str | Path) -> str:
    """A program's output.

    Raises:
        AssertionError: it fails, or is not installed.
    """
    command = [program(name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def free_address() -> str:
    """HOST:PORT that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"
