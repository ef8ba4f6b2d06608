"""DeepL's glossaries, version 2: kept in memory, each for the credentials that made it.

Source: DeepL's own description, https://developers.deepl.com/docs/api-reference/glossaries.
"""

from __future__ import annotations

import csv
import datetime
import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from server.gateway.credentials import metadata_of
from server.gateway.errors import RequestRefused
from server.gateway.languages import targets_by_source
from server.gateway.parameters import parameters_of
from server.gateway.upstream import Metadata, Upstream
from traghetto.pb.translation.v1 import translation_pb2 as pb

MAX_GLOSSARIES = 100  # of all callers: 100 MB of the largest
MAX_TERMS = 1024  # of one call, which its terms go with
_MAX_NAME = 1024  # characters
_MAX_TERM = 128  # characters of a side, as the server has it
_SEPARATORS = {"tsv": "\t", "csv": ","}


@dataclass(frozen=True, kw_only=True)
class StoredGlossary:
    """A glossary of a client; languages as tags in lower case."""

    name: str
    owner: str
    source: str
    target: str
    terms: list[pb.GlossaryTerm]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    made: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat())

    @property
    def info(self) -> dict[str, Any]:
        """What the API tells of it."""
        return {
            "glossary_id": self.id,
            "name": self.name,
            "ready": True,
            "source_lang": self.source,
            "target_lang": self.target,
            "creation_time": self.made,
            "entry_count": len(self.terms),
        }


class DeepLGlossaries:
    """The API's methods for glossaries; they end with the gateway.

    Args:
        upstream: Knows callers and language pairs.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._stored: dict[str, StoredGlossary] = {}

    def routes(self) -> list[Route]:
        """A route for each."""
        one = "/v2/glossaries/{glossary_id}"
        return [
            Route("/v2/glossary-language-pairs", self._pairs, name="deepl.glossary_pairs"),
            Route("/v2/glossaries", self._make, methods=["POST"], name="deepl.make_glossary"),
            Route("/v2/glossaries", self._list, name="deepl.glossaries"),
            Route(one, self._get, name="deepl.glossary"),
            Route(one, self._delete, methods=["DELETE"], name="deepl.delete_glossary"),
            Route(f"{one}/entries", self._entries, name="deepl.glossary_entries"),
        ]

    def terms(self, glossary_id: str, metadata: Metadata, source: str, target: str) -> list[pb.GlossaryTerm]:
        """The terms of a glossary for a text.

        Raises:
            RequestRefused: the caller has no such glossary, or it is of other languages.
        """
        stored = self._of_id(glossary_id, metadata)
        asked = source.lower(), target.lower().partition("-")[0]
        if asked != (stored.source, stored.target):
            rule = f"is from {stored.source} to {stored.target}, must be from {asked[0]} to {asked[1]}"
            raise RequestRefused(400, rule, field="glossary_id")
        return stored.terms

    async def _make(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        metadata = metadata_of(request.headers, parameters.text("auth_key", ""))
        source, target = (parameters.text(name).lower() for name in ("source_lang", "target_lang"))
        if target not in (await targets_by_source(self._upstream, metadata)).get(source, ()):
            raise RequestRefused(
                400, f"is {target!r}, not translated into from {source!r}", field="target_lang"
            )
        name = _unicode(parameters.text("name"), "name")
        if not 1 <= len(name) <= _MAX_NAME:
            raise RequestRefused(400, f"has {len(name)} characters, must have 1 to {_MAX_NAME}", field="name")
        separator = parameters.choice("entries_format", "tsv", _SEPARATORS)
        terms = _read(_unicode(parameters.text("entries"), "entries"), separator)
        if len(self._stored) >= MAX_GLOSSARIES:
            raise RequestRefused(429, f"there are {MAX_GLOSSARIES} glossaries already, the limit")
        stored = StoredGlossary(name=name, owner=_owner(metadata), source=source, target=target, terms=terms)
        self._stored[stored.id] = stored
        return JSONResponse(stored.info, 201)

    async def _list(self, request: Request) -> Response:
        owner = _owner(metadata_of(request.headers))
        return JSONResponse({"glossaries": [one.info for one in self._stored.values() if one.owner == owner]})

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self._asked(request).info)

    async def _delete(self, request: Request) -> Response:
        del self._stored[self._asked(request).id]
        return Response(status_code=204)

    async def _entries(self, request: Request) -> Response:
        lines = "\n".join(f"{term.source}\t{term.target}" for term in self._asked(request).terms)
        return PlainTextResponse(lines, media_type="text/tab-separated-values")

    async def _pairs(self, request: Request) -> Response:
        targets = await targets_by_source(self._upstream, metadata_of(request.headers))
        pairs = [(source, target) for source, into in targets.items() for target in into]
        return JSONResponse({"supported_languages": [{"source_lang": s, "target_lang": t} for s, t in pairs]})

    def _asked(self, request: Request) -> StoredGlossary:
        return self._of_id(request.path_params["glossary_id"], metadata_of(request.headers))

    def _of_id(self, glossary_id: str, metadata: Metadata) -> StoredGlossary:
        stored = self._stored.get(glossary_id)
        if stored is None or stored.owner != _owner(metadata):
            raise RequestRefused(404, f"Glossary not found: {glossary_id!r}", field="glossary_id")
        return stored


def _owner(metadata: Metadata) -> str:
    return dict(metadata).get("authorization", "")


def _unicode(text: str, field_name: str) -> str:
    """The text, unless JSON wrote half a character into it."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestRefused(400, "has an unpaired surrogate, must be Unicode", field=field_name)
    return text


def _read(entries: str, separator: str) -> list[pb.GlossaryTerm]:
    """The terms of lines.

    Raises:
        RequestRefused: there are none, too many, or faulty ones.
    """
    try:
        rows = [row for row in _rows(entries, separator) if row]
    except csv.Error as error:
        raise RequestRefused(400, str(error), field="entries") from error
    if not 1 <= len(rows) <= MAX_TERMS:
        raise RequestRefused(400, f"has {len(rows)} terms, must have 1 to {MAX_TERMS}", field="entries")
    return [_term(number, row, separator) for number, row in enumerate(rows, 1)]


def _rows(entries: str, separator: str) -> Iterator[list[str]]:
    lines = io.StringIO(entries, newline="")
    if separator == ",":
        return csv.reader(lines)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)


def _term(number: int, row: list[str], separator: str) -> pb.GlossaryTerm:
    """A term of a line; in CSV the languages may stand behind it."""
    source, target, *more = [*(cell.strip() for cell in row), ""]
    if not (source and target) or (separator == "\t" and more[1:]):
        raise RequestRefused(400, f"term {number} must be a source and a target", field="entries")
    longest = max(len(source), len(target))
    if longest > _MAX_TERM:
        rule = f"term {number} has {longest} characters, must have at most {_MAX_TERM}"
        raise RequestRefused(400, rule, field="entries")
    return pb.GlossaryTerm(source=source, target=target)
