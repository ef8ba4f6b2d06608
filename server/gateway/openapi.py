"""OpenAPI 3.1 of the contract's methods over HTTP, made from the same descriptors that serve them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.gateway.own_api import JSON
from server.gateway.rules import Rule, rules_of_contract
from server.gateway.streaming import PATH
from traghetto.version import __version__

_STREAM = "text/event-stream"
# As proto3's JSON writes them: 64 bits as text, so that JavaScript loses none.
_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64"},
}
_ANY = {
    "type": "object",
    "description": "A message of the kind that @type names, its fields beside it.",
    "properties": {"@type": {"type": "string"}},
    "required": ["@type"],
}


def openapi_route() -> Route:
    """Where the description is served."""
    content = json.dumps(openapi(), ensure_ascii=False)

    async def answer(_: Request) -> Response:
        return Response(content, media_type=JSON)

    return Route("/openapi.json", answer, name="openapi")


@functools.cache
def openapi() -> dict[str, Any]:
    """The description: a path for each annotation of the contract, a schema for each message they reach."""
    rules = list(rules_of_contract())
    paths = {rule.path: {rule.verb.lower(): _operation(rule)} for rule in rules if not rule.is_stream}
    (translate,) = (rule for rule in rules if rule.method == "Translate")
    paths[PATH] = {"post": _stream_operation(translate)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Traghetto",
            "version": __version__,
            "description": "The methods of translation.v1 as JSON. Fields may be spelled as here or as in "
            "the contract; those that have their default value are left out of answers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "translation.v1", "description": "Translation, scores, models, languages."}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas([status_pb2.Status, *(m for r in rules for m in (r.request, r.answer))]),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {"Error": _response("What went wrong.", status_pb2.Status)},
        },
    }


def _operation(rule: Rule) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": rule.method,
        "summary": f"{rule.method} of translation.v1",
        "tags": ["translation.v1"],
        "responses": {
            "200": _response("The answer.", rule.answer),
            "4XX": {"$ref": "#/components/responses/Error"},
            "5XX": {"$ref": "#/components/responses/Error"},
        },
    }
    if rule.verb == "POST":
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _reference(rule.request)}}}
    else:
        operation["parameters"] = [
            {"name": field.json_name, "in": "query", "schema": _schema_of(field)}
            for field in rule.request.DESCRIPTOR.fields
        ]
    return operation


def _stream_operation(translate: Rule) -> dict[str, Any]:
    """As Translate, but each item is an event of its own."""
    operation = _operation(translate)
    told = "Events `item` with `index` and the fields of a TranslateResponse, then `end`, or `error`."
    events = {"description": told, "content": {_STREAM: {"schema": {"type": "string"}}}}
    return operation | {
        "operationId": "TranslateStream",
        "summary": "Translate, its items as server-sent events as they are done",
        "responses": operation["responses"] | {"200": events},
    }


def _response(told: str, kind: type[Message]) -> dict[str, Any]:
    return {"description": told, "content": {JSON: {"schema": _reference(kind)}}}


def _reference(kind: type[Message]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.DESCRIPTOR.name}"}


def _schemas(kinds: Iterable[type[Message]]) -> dict[str, Any]:
    """A schema for each of these messages, and for each message or enumeration within them."""
    schemas: dict[str, Any] = {"Any": _ANY}
    waiting: list[Any] = [kind.DESCRIPTOR for kind in kinds]
    while waiting:
        found = waiting.pop()
        if found.name in schemas:
            continue
        if hasattr(found, "values"):
            schemas[found.name] = {"type": "string", "enum": [value.name for value in found.values]}
            continue
        properties = {field.json_name: _schema_of(field) for field in found.fields}
        schemas[found.name] = {"type": "object", "properties": properties}
        waiting += [part for field in found.fields for part in (field.message_type, field.enum_type) if part]
    return schemas


def _schema_of(field: Any) -> dict[str, Any]:
    part = field.message_type or field.enum_type
    one = {"$ref": f"#/components/schemas/{part.name}"} if part else _SCALARS[field.type]
    return {"type": "array", "items": one} if field.is_repeated else one
