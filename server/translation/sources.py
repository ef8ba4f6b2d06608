"""From texts to the token ids that a model reads: cut into segments, those that are too long told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from server.documents.document import Document, Segmentation, read_document
from server.errors import RequestError, SourceTooLong, TextTooLong
from server.models.loading import LoadedModel

INLINE_CHARACTERS = 4096  # what takes longer leaves the event loop
_CHARACTERS_PER_TOKEN = 64  # no language needs so many: a longer text is refused before it costs seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedText:
    """A text, cut, with the ids of each segment; none for one that the vocabulary knows nothing of."""

    document: Document
    sources: list[list[int]]

    @property
    def num_kept_characters(self) -> int:
        """Length of what no model translates, which comes out as it went in."""
        segments = zip(self.document.segments, self.sources, strict=True)
        return len(self.document.text) - sum(segment.end - segment.start for segment, ids in segments if ids)


async def tokenize(
    model: LoadedModel, texts: Sequence[str], pair: tuple[str, str], segmentation: Segmentation
) -> list[TokenizedText | RequestError]:
    """Segments of each text as ids, or why it has none; only a text that shall not be cut may be too long.

    Long work leaves the event loop to others; for a sentence the hop would take longer than the work.
    """

    def tokenized() -> list[TokenizedText | RequestError]:
        encoder = _Encoder(model, pair[1])
        return [_tokenized(encoder, text, pair[0], segmentation) for text in texts]

    is_short = sum(map(len, texts)) <= INLINE_CHARACTERS
    return tokenized() if is_short else await asyncio.to_thread(tokenized)


class _Encoder:
    """Makes ids of a call's segments, of equal ones once."""

    def __init__(self, model: LoadedModel, target_language: str) -> None:
        self._tokenizer, self._target_language = model.tokenizer, target_language
        self.max_tokens = model.max_source_tokens
        self.max_characters = _CHARACTERS_PER_TOKEN * self.max_tokens
        self._ids: dict[str, list[int]] = {}
        self._num_special = len(self._encoded(""))  # no source is without these

    def ids(self, text: str) -> list[int]:
        """The source; empty where there is nothing but special tokens."""
        ids = self._encoded(text)
        return ids if len(ids) > self._num_special else []

    def fits(self, text: str) -> bool:
        """Whether the model takes it as one sequence."""
        return len(text) <= self.max_characters and len(self._encoded(text)) <= self.max_tokens

    def _encoded(self, text: str) -> list[int]:
        if (ids := self._ids.get(text)) is None:
            ids = self._ids[text] = self._tokenizer.encode_source(text, self._target_language)
        return ids


def _tokenized(
    encoder: _Encoder, text: str, language: str, segmentation: Segmentation
) -> TokenizedText | RequestError:
    if segmentation is Segmentation.NONE and len(text) > encoder.max_characters and text.strip():
        return TextTooLong(len(text), encoder.max_characters)
    document = read_document(text, language, segmentation, encoder.fits)
    sources = [encoder.ids(segment.text) for segment in document.segments]
    if segmentation is Segmentation.NONE and sources and len(sources[0]) > encoder.max_tokens:
        return SourceTooLong(len(sources[0]), encoder.max_tokens)
    return TokenizedText(document=document, sources=sources)
