"""JSON files of others: one object, every name once, all text fit to be written again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.importers.errors import ForeignModelError


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ForeignModelError: It is missing, damaged, or no object; a name in it stands twice; or a text has half
            of a surrogate pair.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    try:
        fields = json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
        json.dumps(fields, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise ForeignModelError(f"{path} is damaged: {error}") from error
    if not isinstance(fields, dict):
        raise ForeignModelError(f"{path} is damaged: no JSON object")
    return fields


def read_vocabulary(path: Path, size: int | None = None) -> tuple[str, ...]:
    """The pieces by id of a file that maps pieces to ids.

    Args:
        size: How many there must be; None for any number.

    Raises:
        ForeignModelError: As `read_json`, or there are more or fewer, or the ids are not those from 0 on.
    """
    ids = read_json(path)
    if wrong := [piece for piece, i in ids.items() if type(i) is not int]:
        raise ForeignModelError(f"{path} is damaged: the id of {wrong[0]!r} is {ids[wrong[0]]!r}")
    if size is not None and len(ids) != size:
        raise ForeignModelError(f"{path} has {len(ids)} pieces, the model {size}")
    if sorted(ids.values()) != list(range(len(ids))):
        raise ForeignModelError(f"{path} is damaged: ids must be 0 to {len(ids) - 1}, each once")
    return tuple(sorted(ids, key=ids.__getitem__))


def _object(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(entries)
    if len(fields) < len(entries):
        names = [name for name, _ in entries]
        twice = sorted({name for name in fields if names.count(name) > 1})
        raise ValueError(f"twice {', '.join(map(repr, twice))}")
    return fields


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")
