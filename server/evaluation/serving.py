"""A server for an evaluation: this very tree's, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Starts the server of this very tree, whatever else the working directory or PYTHONPATH calls `server`.
_SERVE = """import sys
sys.path.insert(0, sys.argv.pop(1))
from server.commands.serve import main
sys.exit(main())"""
_APP = Path(__file__).resolve().parents[2]


class EvaluateError(RuntimeError):
    """The server did not start, or did not translate a text."""


@contextmanager
def running_server(*artifacts: Path) -> Iterator[str]:
    """Start traghetto-serve with some artifacts on a free port; gives its address.

    Raises:
        EvaluateError: it ended before it was ready.
    """
    with serving(*artifacts) as places:
        yield places["grpc"]


@contextmanager
def serving(*artifacts: Path) -> Iterator[dict[str, str]]:
    """Start traghetto-serve on free ports; gives what its ready line names, as `grpc` and `metrics`."""
    command = [sys.executable, "-P", "-c", _SERVE, str(_APP), *map(str, artifacts)]
    flags = ("--listen", "--metrics-listen", "--admin-listen")
    command += [*(f"{flag}=127.0.0.1:0" for flag in flags), "--log-level=warning"]
    failure = EvaluateError(f"the server did not start with {', '.join(map(str, artifacts))}")
    with listening(command, failure) as places:
        yield places


@contextmanager
def listening(command: list[str], failure: Exception) -> Iterator[dict[str, str]]:
    """Start a server that prints a line with `grpc=HOST:PORT` once it is ready; gives all such words of it.

    Args:
        failure: Raised if it ends before.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "grpc=" not in line:
                raise failure
            yield dict(word.split("=", 1) for word in line.split() if "=" in word)
        finally:
            process.terminate()
