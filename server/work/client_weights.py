"""What clients' shares of a model are to each other, as an operator writes it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Weights = Mapping[str, float]  # by client, as `server.api.clients` names it; 1 of one that is not there
NO_WEIGHTS: Weights = MappingProxyType({})
MIN_WEIGHT, MAX_WEIGHT = 0.001, 1000.0


class WeightsError(ValueError):
    """A text that names no weights; lists every fault."""


def named_client(name: str) -> str:
    """What a client is called that has a name: a tenant's, or else the one in its certificate.

    >>> named_client("shop")
    'name:shop'
    """
    return f"name:{name}"


def parse_weights(text: str) -> dict[str, float]:
    """The weights of clients that have a name.

    >>> parse_weights("shop=4, archive=0.25")
    {'name:shop': 4.0, 'name:archive': 0.25}
    >>> parse_weights("shop=4,archive,shop=0")
    Traceback (most recent call last):
    server.work.client_weights.WeightsError: 'archive' is no NAME=WEIGHT; 'shop' is there twice; \
the weight of 'shop' is '0', must be a number from 0.001 to 1000

    Raises:
        WeightsError: a part is no NAME=WEIGHT, a name is there twice, or a weight is out of its limits.
    """
    weights: dict[str, float] = {}
    faults: list[str] = []
    for part in text.split(","):
        name, equals, number = (word.strip() for word in part.rpartition("="))  # a name may have one too
        if not (name and equals):
            faults.append(f"{part.strip()!r} is no NAME=WEIGHT")
            continue
        if (client := named_client(name)) in weights:
            faults.append(f"{name!r} is there twice")
        if (weight := _weight(number)) is None:
            limits = f"a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}"
            faults.append(f"the weight of {name!r} is {number!r}, must be {limits}")
        weights[client] = weight or 1.0
    if faults:
        raise WeightsError("; ".join(faults))
    return weights


def _weight(text: str) -> float | None:
    """A weight; None if it is none."""
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if MIN_WEIGHT <= weight <= MAX_WEIGHT else None  # NaN is not
