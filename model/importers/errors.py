"""What is wrong with a model that was made elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from model.networks.config import ConfigError

T = TypeVar("T")


class ForeignModelError(ValueError):
    """A foreign model's file is missing, damaged, or of a kind that is not supported."""


def require(faults: list[str], where: str) -> None:
    """Refuse if there are faults.

    Raises:
        ForeignModelError: lists all of them.
    """
    if faults:
        raise ForeignModelError(f"{where}: " + "; ".join(faults))


def named(path: Path, read: Callable[[], T]) -> T:
    """What a reader returns; its errors with the file's name before them.

    Raises:
        ForeignModelError: The reader did, or found an impossible configuration.
    """
    try:
        return read()
    except (ForeignModelError, ConfigError) as error:
        raise ForeignModelError(f"{path}: {error}") from error
