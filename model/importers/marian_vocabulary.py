"""Marian's vocabularies in YAML: a mapping of pieces to ids, whatever YAML would make of a piece.

To YAML `null`, `1.0` and `yes` are no text and `<<` is an order; here each is a piece. So of the parser its
events alone are used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from model.importers.errors import ForeignModelError

# Without libyaml, which PyYAML's wheels have, a vocabulary takes 20 times as long.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


_ID = re.compile(r"[0-9]{1,9}")


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """The pieces by id.

    Raises:
        ForeignModelError: The file is missing or damaged, it is no mapping of pieces to ids, a piece stands
            twice, or the ids are not those from 0 on, each once.
    """
    try:
        scalars = list(_scalars(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    pieces, values = scalars[::2], scalars[1::2]
    if wrong := [value for value in values if not _ID.fullmatch(value)]:
        raise ForeignModelError(f"{path}: an id is {wrong[0][:64]!r}, must be a whole number")
    ids = dict(zip(pieces, map(int, values), strict=True))
    if len(ids) < len(pieces):
        twice = next(piece for piece, count in Counter(pieces).items() if count > 1)
        raise ForeignModelError(f"{path}: twice the piece {twice!r}")
    if sorted(ids.values()) != list(range(len(ids))):
        raise ForeignModelError(f"{path}: ids must be 0 to {len(ids) - 1}, each once")
    return tuple(sorted(ids, key=ids.__getitem__))


def _scalars(text: str) -> Iterator[str]:
    """The texts of a flat mapping, key and value by turns.

    Raises:
        ValueError: It is of another shape.
    """
    events = [event for event in yaml.parse(text, Loader=_LOADER) if not isinstance(event, _FRAME)]
    if len(events) < 2 or not isinstance(events[0], yaml.MappingStartEvent):
        raise ValueError("it is no mapping of pieces to ids")
    for event in events[1:-1]:
        if not isinstance(event, yaml.ScalarEvent):
            raise ValueError(f"it is no mapping of pieces to ids: {event.start_mark}")  # noqa: TRY004 - of a file
        yield str(event.value)


_FRAME = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)
