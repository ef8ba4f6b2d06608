"""A client's token: given once, or asked for, and asked for again when a server no longer takes it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from traghetto.errors import TokenError
from traghetto.target import is_loopback

Token = str | Callable[[], str]
_FORM = re.compile(r"[!-~]+", re.ASCII)
_UNIX = ("unix:", "unix-abstract:")


class TokenSource:
    """What calls say of who they are; for use from any thread.

    Args:
        token: A text, or what gives one; None for calls that say nothing.
    """

    def __init__(self, token: Token | None) -> None:
        self._lock = threading.Lock()
        self._ask = token if callable(token) else None
        self._value = None if token is None or callable(token) else _checked(token)

    @property
    def can_renew(self) -> bool:
        """Whether another token may come of asking again."""
        return self._ask is not None

    def metadata(self, *, renew: bool = False) -> tuple[tuple[str, str], ...]:
        """The header of a call.

        Args:
            renew: Whether to ask for a new token, where the last one was refused.

        Raises:
            TokenError: what gives the token gives none; it is not quoted.
        """
        with self._lock:
            if self._ask is not None and (renew or self._value is None):
                self._value = _checked(self._ask())
            return () if self._value is None else (("authorization", f"Bearer {self._value}"),)


def require_private(address: str, token: Token | None, *, has_tls: bool, is_allowed: bool) -> None:
    """Refuse to send a token where others could read it.

    Raises:
        TokenError: the address is on another machine, and there is no TLS.

    >>> require_private("10.0.0.1:50051", "secret", has_tls=False, is_allowed=False)
    Traceback (most recent call last):
    traghetto.errors.TokenError: a token would cross the network to 10.0.0.1:50051 in plain text: give \
tls, or allow_plaintext_token if the network is trusted
    """
    is_here = address.startswith(_UNIX) or is_loopback(address)
    if token is not None and not (has_tls or is_allowed or is_here):
        raise TokenError(
            f"a token would cross the network to {address} in plain text: give tls, or "
            "allow_plaintext_token if the network is trusted"
        )


def _checked(token: str) -> str:
    if not _FORM.fullmatch(token):
        raise TokenError("the token is empty, or has other characters than visible ASCII")
    return token
