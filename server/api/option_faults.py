"""How a fault of an option is told: with its value and its limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.errors import Violation

MAX_LISTED = 8


def fault(name: str, value: float | str, rule: str) -> Violation:
    """An option's value beside the rule that it breaks.

    >>> fault("length_penalty", -1.0, "must be at least 0 and at most 10").description
    'is -1.0, must be at least 0 and at most 10'
    """
    text = str(np.float32(value)) if isinstance(value, float) else value  # 0.1 as the client wrote it
    return Violation(f"options.{name}", f"is {text}, {rule}")


def range_faults(name: str, values: Sequence[int], least: int, limit: int | None) -> list[Violation]:
    """The values of an option that are out of its limits, as one fault.

    >>> range_faults("beam_size", [17], 1, 16)[0].description
    'is 17, must be at least 1 and at most 16'
    >>> range_faults("beam_size", [16], 1, 16)
    []

    Args:
        limit: None for none.
    """
    wrong = [value for value in values if value < least or (limit is not None and value > limit)]
    upper = f" and at most {limit}" if limit is not None else ""
    return [fault(name, listed(wrong), f"must be at least {least}{upper}")] if wrong else []


def listed(values: Sequence[int]) -> str:
    """Numbers for a message; of very many only the first, so that the answer still fits in a header.

    >>> listed(range(20))
    '0, 1, 2, 3, 4, 5, 6, 7, ...'
    """
    return ", ".join(map(str, values[:MAX_LISTED])) + (", ..." if len(values) > MAX_LISTED else "")
