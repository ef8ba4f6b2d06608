"""How many runners of a process have work: a single one may use the processors of all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class BusyRunners:
    """A count of the runners that have work, of all models; a process hands one to all its workers.

    A runner's engine runs in more threads while no other runner needs the processors.

    >>> busy_runners = BusyRunners()
    >>> with busy_runners.busy():
    ...     busy_runners.is_single
    True
    >>> with busy_runners.busy(), busy_runners.busy():
    ...     busy_runners.is_single
    False
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @property
    def is_single(self) -> bool:
        """Whether one runner alone has work; read without the lock, a change is seen a step later."""
        return self._count == 1

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The time in which a runner lives, and has work except in `idle`."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """The time in which a busy runner waits for work."""
        self._add(-1)
        try:
            yield
        finally:
            self._add(1)

    def _add(self, change: int) -> None:
        with self._lock:
            self._count += change
