"""Whose request it is, as the server is told: a bearer token, in whichever place a client's API has it."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from server.gateway.errors import RequestRefused

_SCHEMES = ("bearer", "deepl-auth-key")
_HARMLESS = re.compile(r"[\x21-\x7e]{1,8192}")  # what a header of HTTP/2 may hold without further ado
# What ties a call to a request in logs and traces.
_PASSED_ON = ("x-request-id", "traceparent")


def metadata_of(headers: Headers, api_key: str | None = None) -> tuple[tuple[str, str], ...]:
    """What goes with a call to the server.

    The client's address does not: a header that says it can be written by anybody.

    Args:
        headers: Of the request: Authorization with a scheme of Bearer or DeepL-Auth-Key, x-request-id,
            traceparent.
        api_key: A key that came in the body, as LibreTranslate's clients send it; the header wins.

    Raises:
        RequestRefused: there is a credential that is none: it does not count as none being there.

    >>> metadata_of(Headers({"authorization": "DeepL-Auth-Key secret"}))
    (('authorization', 'Bearer secret'),)
    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme and scheme.lower() not in _SCHEMES:
        raise RequestRefused(401, "Authorization must be of Bearer or DeepL-Auth-Key")
    token = token.strip() if scheme else api_key or ""
    if (scheme or token) and not _HARMLESS.fullmatch(token):
        raise RequestRefused(401, "the key must have 1 to 8192 visible characters of ASCII")
    credentials = (("authorization", f"Bearer {token}"),) if token else ()
    passed = [(name, headers[name]) for name in _PASSED_ON if _HARMLESS.fullmatch(headers.get(name, ""))]
    return (*credentials, *passed)
