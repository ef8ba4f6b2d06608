"""The page: its files read once, each with a route of its own and the strictest policy that lets it run."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# Nothing from another host, nothing inline, and in nobody's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # asked for each time, and answered with 304
}
_INDEX = "index.html"
_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}


def page_routes(folder: Path) -> list[Route]:
    """A route for each file of a folder, at its path there; the index at `/` as well."""
    routes = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            endpoint = _endpoint(path)
            places = ["/", f"/{name}"] if name == _INDEX else [f"/{name}"]
            routes += [Route(place, endpoint, name="page") for place in places]
    return routes


def _endpoint(path: Path) -> Callable[[Request], Awaitable[Response]]:
    content = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = _HEADERS | {"etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return answer
