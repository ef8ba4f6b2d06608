"""How a command ends when somebody closes its output, or interrupts it: with a line and a status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell tells it
_INTERRUPTED = 130  # 128 + SIGINT


def run_command(name: str, command: Callable[[], int]) -> int:
    """Run a command, and turn what happens to its standard output into an exit status.

    Returns:
        The command's own; 141 if the reader of its output has gone, as after `| head`; 130 if it was
        interrupted; 1 if its output cannot be written; 2 if it has none.
    """
    if sys.stdout is None:
        print(f"{name}: standard output is closed", file=sys.stderr)
        return 2
    try:
        status = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return _PIPE_CLOSED
    except OSError as error:
        _discard_output()
        print(f"{name}: cannot write to standard output: {error.strerror or error}", file=sys.stderr)
        return 1
    return status


def _discard_output() -> None:
    """What is still in the buffer goes nowhere: Python would try again at its end, and say so."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
