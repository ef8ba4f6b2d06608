"""What is wrong with a model that was made elsewhere."""

from __future__ import annotations


class ForeignModelError(ValueError):
    """A foreign model's file is missing, damaged, or of a kind that is not supported."""


def require(faults: list[str], where: str) -> None:
    """Refuse if there are faults.

    Raises:
        ForeignModelError: lists all of them.
    """
    if faults:
        raise ForeignModelError(f"{where}: " + "; ".join(faults))
