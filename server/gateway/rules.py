"""The HTTP side of the contract, read from its google.api.http annotations: no route stands anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from server.gateway.errors import RequestRefused
from traghetto.pb.translation.v1 import translation_pb2 as pb

Kind = TypeVar("Kind", bound=Message)
_HTTP: Any = annotations_pb2.http
_SERVICE = pb.DESCRIPTOR.services_by_name["TranslationService"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A method of the contract over HTTP.

    Args:
        method: The rpc's name.
        verb: GET or POST.
        path: Without variables: the contract has none.
        request, answer: The kinds of its messages.
        is_stream: Whether it has many answers.
    """

    method: str
    verb: str
    path: str
    request: type[Message]
    answer: type[Message]
    is_stream: bool


def rules_of_contract() -> Iterator[Rule]:
    """Every method with an annotation: a body is the whole request, and what has none has a query."""
    for method in _SERVICE.methods:
        http = method.GetOptions().Extensions[_HTTP]
        verb = http.WhichOneof("pattern")
        if verb is None:
            continue
        assert (verb, http.body) in {("get", ""), ("post", "*")}, method.full_name
        yield Rule(
            method=method.name,
            verb=verb.upper(),
            path=getattr(http, verb),
            request=GetMessageClass(method.input_type),
            answer=GetMessageClass(method.output_type),
            is_stream=method.server_streaming,
        )


def from_body(kind: type[Kind], body: bytes) -> Kind:
    """The message that a body in JSON is: names of fields in either spelling, as proto3 has it.

    Raises:
        RequestRefused: it is none.
    """
    try:
        return json_format.Parse(body.decode(), kind())
    except UnicodeDecodeError as error:
        raise RequestRefused(400, f"the body is no UTF-8: byte {error.start}") from error
    except (json_format.ParseError, RecursionError) as error:
        raise RequestRefused(400, f"the body is no {kind.DESCRIPTOR.name} in JSON: {error}") from error


def from_query(kind: type[Message], query: list[tuple[str, str]]) -> Message:
    """The message that a query spells out; a repeated field stands there as often as it has values.

    Raises:
        RequestRefused: a name is none of its fields, stands there too often, or has no such value.
    """
    values: dict[str, Any] = {}
    for name, text in query:
        field = _field(kind.DESCRIPTOR, name)
        if field.is_repeated:
            values.setdefault(field.name, []).append(text)
        elif field.name in values:
            raise RequestRefused(400, "stands there twice, must be once", field=name)
        else:
            values[field.name] = _value(field, text)
    try:
        return json_format.ParseDict(values, kind())
    except json_format.ParseError as error:
        raise RequestRefused(400, f"the query is no {kind.DESCRIPTOR.name}: {error}") from error


def _field(kind: Any, name: str) -> FieldDescriptor:
    by_name: Mapping[str, FieldDescriptor] = {
        **{field.json_name: field for field in kind.fields},
        **{field.name: field for field in kind.fields},
    }
    if name not in by_name:
        known = ", ".join(field.json_name for field in kind.fields) or "none"
        raise RequestRefused(400, f"is no field of {kind.name}, known are: {known}", field=name)
    return by_name[name]


def _value(field: FieldDescriptor, text: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL and text in {"true", "false"}:
        return text == "true"
    return text


def as_json(message: Message) -> str:
    """A message in proto3's JSON."""
    return json_format.MessageToJson(message, indent=None, ensure_ascii=False)
