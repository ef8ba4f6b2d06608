"""What a request of a foreign API says, as JSON, as a form, or in its query; each value's type is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from server.gateway.errors import RequestRefused
from server.gateway.own_api import JSON

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_MAX_FIELDS = 2000
_YES, _NO = ("1", "true"), ("0", "false")


class Parameters:
    """The values of a request by name; a name that stands there several times has several.

    Args:
        values: As JSON has them, or texts and files of a form.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def text(self, name: str, default: str | None = None) -> str:
        """One text.

        Raises:
            RequestRefused: there is none and no default, or it is something else.
        """
        value = self._values.get(name, default)
        if value is None:
            raise RequestRefused(400, f"missing {name} parameter")
        if not isinstance(value, str):
            raise RequestRefused(400, "must be one text", field=name)
        return value

    def texts(self, name: str) -> list[str]:
        """One text or several.

        Raises:
            RequestRefused: there is none, or something that is no text.
        """
        value = self._values.get(name)
        values = [value] if isinstance(value, str) else value
        if not values:
            raise RequestRefused(400, f"missing {name} parameter")
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            raise RequestRefused(400, "must be a text or several", field=name)
        return values

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false, as JSON writes it or as 1 and 0.

        Raises:
            RequestRefused: it is neither.
        """
        value = self._values.get(name, default)
        told = str(value).lower()
        if told not in _YES + _NO:
            raise RequestRefused(400, f"is {value!r}, must be one of 1, 0, true, false", field=name)
        return told in _YES

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 0 on.

        Raises:
            RequestRefused: it is none, or beyond the limit.
        """
        value = self._values.get(name, default)
        told = str(value)
        if not told.isdecimal() or len(told) > len(str(most)) or int(told) > most:
            raise RequestRefused(400, f"is {value!r}, must be a whole number from 0 to {most}", field=name)
        return int(value)

    def choice(self, name: str, default: str, choices: Mapping[str, Any]) -> Any:
        """What one of several words stands for.

        Raises:
            RequestRefused: it is none of them.
        """
        word = str(self._values.get(name, default)).lower()
        if word not in choices:
            raise RequestRefused(400, f"is {word!r}, must be one of {', '.join(choices)}", field=name)
        return choices[word]

    def file(self, name: str) -> UploadFile:
        """A file of a form.

        Raises:
            RequestRefused: there is none, or it has no name.
        """
        value = self._values.get(name)
        if not isinstance(value, UploadFile) or not value.filename:
            raise RequestRefused(400, f"missing {name} parameter: must be a file with a name")
        return value


async def parameters_of(request: Request) -> Parameters:
    """All values of a request; those of the body come before those of the query.

    Raises:
        RequestRefused: the body is of another type, or not what its type says.
    """
    values = _several(request.query_params.multi_items())
    body = await request.body()
    if not body:
        return Parameters(values)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        return Parameters(values | _object(body))
    if kind not in _FORMS:
        raise RequestRefused(
            415, f"the body is of type {kind!r}, must be {JSON} or one of {', '.join(_FORMS)}"
        )
    form = await request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=len(body))
    return Parameters(values | _several(form.multi_items()))


def _several(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Each name's value, or a list of them."""
    values: dict[str, Any] = {}
    for name, value in items:
        bare = name.removesuffix("[]")
        if bare in values:
            earlier = values[bare]
            values[bare] = [*(earlier if isinstance(earlier, list) else [earlier]), value]
        else:
            values[bare] = value
    return values


def _object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(400, f"the body is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise RequestRefused(400, "the body is JSON, but no object")
    return values
