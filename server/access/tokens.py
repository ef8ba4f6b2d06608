"""Static tokens: random ones, of which only hashes are kept.

They are of 256 random bits, so one SHA-256 is enough: nobody can guess one, and a slow hash would only make
each call slow.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256

from server.access.tenant import Tenant

_PREFIX = "traghetto_"  # so that scanners of repositories can find one that leaked
_HASH = "sha256:"
HASH_FORM = r"sha256:[0-9a-f]{64}"
_NUM_BYTES = 32
_NUM_SHOWN = 12  # of a hash; whoever learns them by measuring time knows no token


def new_token() -> str:
    """A token that nobody has."""
    return _PREFIX + secrets.token_urlsafe(_NUM_BYTES)


def hash_of(token: str) -> str:
    """What the access file holds of a token.

    >>> hash_of("traghetto_example")[:23]
    'sha256:26500bcaeca48d5c'
    """
    return _HASH + sha256(token.encode()).hexdigest()


class TokenTable:
    """Tenants by the hashes of their tokens."""

    def __init__(self, hashes: Iterable[tuple[str, Tenant]]) -> None:
        self._by_start: dict[str, list[tuple[str, Tenant]]] = {}
        for known, tenant in hashes:
            self._by_start.setdefault(_start(known), []).append((known, tenant))

    def find(self, token: str) -> Tenant | None:
        """Whose token it is; hashes are compared in a time that tells nothing of where they differ."""
        asked = hash_of(token)
        found = None
        for known, tenant in self._by_start.get(_start(asked), ()):
            if hmac.compare_digest(known, asked):
                found = tenant
        return found


def _start(hashed: str) -> str:
    return hashed[: len(_HASH) + _NUM_SHOWN]
