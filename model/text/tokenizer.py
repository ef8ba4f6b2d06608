"""What the rest of the house needs of a tokenizer, whoever made it. Knows nothing of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from model.text.special_ids import SpecialIds

_MAX_LISTED = 20


class TokenizerError(ValueError):
    """The tokenizer's file does not fit, or it cannot mark a language."""


def listed_directions(directions: Sequence[tuple[str, str]]) -> str:
    """Some pairs of languages for people to read, and how many more there are.

    >>> listed_directions([("en", "it"), ("it", "en")])
    'en-it, it-en'
    """
    some = ", ".join(map("-".join, directions[:_MAX_LISTED]))
    return some if len(directions) <= _MAX_LISTED else f"{some} and {len(directions) - _MAX_LISTED} more"


class Tokenizer(Protocol):
    """Text to token ids and back.

    How a language is marked is its own affair: by a tag before the source, by special pieces around it,
    or not at all, where a model translates one direction.
    """

    @property
    def special_ids(self) -> SpecialIds:
        """The ids of padding, unknown text, start and end: those that the model was trained with."""

    @property
    def size(self) -> int:
        """V, one above the highest id of a target."""

    @property
    def source_size(self) -> int:
        """One above the highest id of a source."""

    @property
    def has_one_vocabulary(self) -> bool:
        """Whether an id means the same piece in a source and in a target."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that it knows, in a fixed order."""

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """The (source, target) pairs of languages that it has marks for, in a fixed order."""

    @property
    def serialized(self) -> bytes:
        """Everything that decides on ids, as bytes; a checkpoint's hash covers it."""

    def piece(self, token_id: int) -> str:
        """The piece behind an id of a target, for people to read; "▁" marks a space."""

    def source_piece(self, token_id: int) -> str:
        """The piece behind an id of a source."""

    def encode_source(
        self, text: str, target_language: str, *, source_language: str | None = None
    ) -> list[int]:
        """Source text as the ids that an encoder reads: language marks, pieces, end.

        Args:
            source_language: The code of the text's language; None where no model in question marks it.

        Raises:
            TokenizerError: It cannot mark one of these languages, or needs the one that is None.
        """

    def first_target_token(self, target_language: str) -> int | None:
        """The id that every target in this language begins with; None where targets begin as they like."""

    def encode_target(self, text: str, *, target_language: str | None = None) -> list[int]:
        """Target text as the ids that a decoder must predict: the end last, no start.

        Args:
            target_language: The code of the text's language; None where no model in question begins with it.

        Raises:
            TokenizerError: Targets begin with their language, and it is none that this tokenizer knows.
        """

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Ids to text; special ids leave no trace."""

    def save(self, folder: Path) -> None:
        """Write its files where `load_tokenizer` finds them."""
