"""Sentences through a server, each on its own: what fails costs its own score and no other's."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Unpack

import grpc
from tqdm import tqdm

from traghetto import CallError, Client, TextError
from traghetto.options import TranslateOptions

_IN_FLIGHT = 64
# What a server says of one text; after anything else the next text would fare no better.
_FAULTS_OF_A_TEXT = frozenset(
    (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED)
)


@dataclass(frozen=True, kw_only=True)
class Direction:
    """One way to read a file of pairs.

    Args:
        source, target: Language codes.
    """

    source: str
    target: str

    def lower(self) -> Direction:
        """The same in lower case: codes that differ in case alone are one."""
        return Direction(source=self.source.lower(), target=self.target.lower())

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


def translate(
    client: Client, texts: Sequence[str], direction: Direction, **options: Unpack[TranslateOptions]
) -> tuple[list[str | None], dict[int, str]]:
    """Translate texts, a call for each; options left out take the server's defaults.

    Returns:
        A translation for each text, None where it failed; and why, by the number of the text from 1.

    Raises:
        CallError: one that every text would meet: no server, no such language or option.
    """
    translated: list[str | None] = []
    faults: dict[int, str] = {}
    with tqdm(total=len(texts), unit="line", disable=not sys.stderr.isatty()) as bar:
        while len(translated) < len(texts):
            for text, fault in _results(client, texts[len(translated) :], direction, options):
                translated.append(text)
                if text is None:
                    faults[len(translated)] = fault
                bar.update()
    return translated, faults


def _results(
    client: Client, texts: Sequence[str], direction: Direction, options: TranslateOptions
) -> Iterator[tuple[str | None, str]]:
    """Translations and faults, one or the other, of the texts up to the first whose call fails."""
    results = client.translate_many(
        texts,
        direction.source,
        direction.target,
        texts_per_call=1,
        concurrency=_IN_FLIGHT,
        **options,
    )
    try:
        for result in results:
            yield (None, result.message) if isinstance(result, TextError) else (result.text, "")
    except CallError as error:
        if error.code not in _FAULTS_OF_A_TEXT:
            raise
        yield None, str(error)


def served(client: Client) -> set[Direction]:
    """What the server translates, in lower case."""
    pairs = (pair for model in client.models() for pair in model.language_pairs)
    return {Direction(source=pair.source_language, target=pair.target_language).lower() for pair in pairs}


def lacking(directions: Collection[Direction], there: Direction, back: Direction) -> Direction | None:
    """The direction that a model of the other one lacks; None if it has both, or neither: that is a fault."""
    has_there, has_back = (direction.lower() in directions for direction in (there, back))
    if has_there == has_back:
        return None
    return back if has_there else there
