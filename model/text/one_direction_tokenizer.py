"""The tokenizer of a model that translates one direction: a SentencePiece file as it is, without any tag."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from model.text.one_vocabulary import OneVocabulary
from model.text.sentencepiece_tokenizer import FILE_NAME
from model.text.special_ids import SpecialIds
from model.text.tokenizer import TokenizerError

LANGUAGES_NAME = "languages.json"


class OneDirectionTokenizer(OneVocabulary):
    """One vocabulary for source and target, with the special ids that its file has.

    A source is encoded as `[pieces..., end]`: which language it is translated into follows from the model.
    Text that looks like a special piece is text: SentencePiece never reads control pieces.

    Args:
        model: The serialised SentencePiece model.
        source_language, target_language: What it is declared to translate; no file says so.

    Raises:
        TokenizerError: The model is damaged, it has no end of sentence or no unknown piece, or the languages
            are no two.
    """

    def __init__(self, model: bytes, source_language: str, target_language: str) -> None:
        if not source_language or not target_language or source_language == target_language:
            raise TokenizerError(
                f"languages are {source_language!r} and {target_language!r}, must be two different codes"
            )
        super().__init__(model)
        self._direction = (source_language, target_language)
        self._special_ids = _special_ids(self._processor)

    @classmethod
    def load(cls, folder: Path) -> OneDirectionTokenizer:
        """Read the tokenizer that `save` wrote.

        Raises:
            TokenizerError: A file is damaged.
        """
        path = folder / LANGUAGES_NAME
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            source, target = fields["source"], fields["target"]
        except (ValueError, KeyError, TypeError) as error:
            raise TokenizerError(f"{path} is damaged: {error!r}") from error
        if not isinstance(source, str) or not isinstance(target, str):
            raise TokenizerError(f"{path} is damaged: languages are {source!r} and {target!r}")
        return cls((folder / FILE_NAME).read_bytes(), source, target)

    def save(self, folder: Path) -> None:
        """Write the SentencePiece model as tokenizer.model, and the languages beside it."""
        (folder / FILE_NAME).write_bytes(self._model)
        (folder / LANGUAGES_NAME).write_bytes(self._languages_json())

    def _languages_json(self) -> bytes:
        source, target = self._direction
        return (json.dumps({"source": source, "target": target}) + "\n").encode()

    @property
    def special_ids(self) -> SpecialIds:
        """The file's own; where it has no padding or no start, the end stands in for it."""
        return self._special_ids

    @property
    def serialized(self) -> bytes:
        """The SentencePiece model as it was read, and the languages."""
        return self._model + self._languages_json()

    @property
    def languages(self) -> tuple[str, ...]:
        """Those of source and target."""
        return self._direction

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """The one."""
        return (self._direction,)

    def encode_source(
        self, text: str, target_language: str, *, source_language: str | None = None
    ) -> list[int]:
        """Source text as ids, the end last.

        Raises:
            TokenizerError: These are not its languages.
        """
        source, target = self._direction
        if target_language != target or source_language not in {None, source}:
            asked = f"{source_language or source}-{target_language}"
            raise TokenizerError(f"translates {source}-{target}, not {asked}")
        return self.encode_target(text)

    def encode_target(
        self,
        text: str,
        *,
        target_language: str | None = None,  # noqa: ARG002 - no target begins with its language
    ) -> list[int]:
        """Target text as ids, the end last and no start."""
        return [*self._processor.EncodeAsIds(text), self._special_ids.end]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Ids to text; special pieces leave no trace, nor does what stands for unknown text."""
        unknown = self._special_ids.unknown
        return str(self._processor.DecodeIds([int(i) for i in token_ids if i != unknown]))


def _special_ids(processor: sentencepiece.SentencePieceProcessor) -> SpecialIds:
    unknown, end = int(processor.unk_id()), int(processor.eos_id())
    if unknown < 0 or end < 0:
        raise TokenizerError(f"ids of unknown piece and end are ({unknown}, {end}), both must be there")
    padding, start = int(processor.pad_id()), int(processor.bos_id())
    return SpecialIds(
        padding=padding if padding >= 0 else end,
        unknown=unknown,
        start=start if start >= 0 else end,
        end=end,
    )
