"""An issuer's keys at a URL: fetched beside the calls, and again when they may have changed."""

from __future__ import annotations

import logging
import math
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException

from server.access.keys import KeyFault, VerificationKey, public_keys

log = logging.getLogger("traghetto.access")
_MAX_BYTES = 1 << 20
_TIMEOUT_SECONDS = 10.0
_USUAL_SECONDS, _SOONEST_SECONDS = (
    300.0,
    10.0,
)  # between two fetches; tokens of unknown keys bring on the second


class RemoteKeys:
    """The keys at a URL; the old ones stay while new ones cannot be had.

    A token of an unknown key makes the next fetch come sooner, and never waits for one: what strangers send
    must not make the server call others.
    """

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], bytes] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._fetch, self._now = url, fetch or _fetch, now
        self._fetched = -math.inf
        self._is_wanted, self._has_failed = False, False
        self.keys: Sequence[VerificationKey] = ()

    def want(self) -> None:
        """Somebody has shown a token of a key that is not here."""
        self._is_wanted = True

    def refresh(self) -> None:
        """Fetch the keys if it is time; for any thread but the event loop's."""
        age = self._now() - self._fetched
        is_urgent = self._is_wanted or self._has_failed
        if age < (_SOONEST_SECONDS if is_urgent else _USUAL_SECONDS):
            return
        self._fetched, self._is_wanted = self._now(), False
        try:
            self.keys = public_keys(self._fetch(self._url))
        except (OSError, ValueError, HTTPException) as error:
            if not self._has_failed:
                fault = str(error) if isinstance(error, KeyFault) else type(error).__name__
                log.error("the keys at %s cannot be had, those from before stay: %s", self._url, fault)  # noqa: TRY400 - no fault of ours
            self._has_failed = True
        else:
            self._has_failed = False


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - https, or of this machine
        content: bytes = answer.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise KeyFault(f"they have more than {_MAX_BYTES} bytes")
    return content
