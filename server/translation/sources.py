"""From texts to the token ids that a model reads: cut into segments, those that are too long told apart."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from server.documents.document import Document, Segmentation, read_document
from server.documents.form import in_sentence_case
from server.documents.markup.reading import Format, read_marked
from server.errors import (
    DeadlineExceeded,
    InvalidRequest,
    RequestError,
    SourceTooLong,
    TextTooLong,
    Violation,
)
from server.translation.request import TranslationRequest

INLINE_CHARACTERS = 4096  # what takes longer leaves the event loop
MAX_PIECES = 16_384  # sentences of a call: a book has room, and a megabyte of line breaks does not
CHARACTERS_PER_TOKEN = 64  # no language needs so many: a longer text is refused before it costs seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedText:
    """A text, cut, with the ids of each segment; none for one that the vocabulary knows nothing of."""

    document: Document
    sources: list[list[int]]

    @property
    def num_kept_bytes(self) -> int:
        """Length in UTF-8 of what no model makes: what comes out as it went in, and terms of glossaries."""
        text, place, num_bytes = self.document.text, 0, 0
        for segment, ids in zip(self.document.segments, self.sources, strict=True):
            if ids and not segment.is_inner:
                num_bytes += len(text[place : segment.start].encode())
                place = segment.end
        num_bytes += sum(len(term.target.encode()) for s in self.document.segments for term in s.terms)
        return num_bytes + len(text[place:].encode())


async def tokenize(request: TranslationRequest) -> list[TokenizedText | RequestError]:
    """Segments of each text as ids, or why it has none; only a text that shall not be cut may be too long.

    Long work leaves the event loop to others, and ends with the call; for a sentence the hop would take
    longer than the work.

    Raises:
        InvalidRequest: the texts have more sentences than a call may have.
        DeadlineExceeded: it has passed meanwhile.
    """
    encoder = _Encoder(request)

    def tokenized() -> list[TokenizedText | RequestError]:
        return [_tokenized(encoder, text, request) for text in request.texts]

    if is_short(request):
        return tokenized()
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, tokenized)
    finally:
        encoder.is_over.set()  # a call that is cancelled leaves the thread to others


def is_short(request: TranslationRequest) -> bool:
    """Whether to cut its texts, or to join them again, takes less time than to leave the event loop."""
    return request.format is Format.PLAIN and sum(map(len, request.texts)) <= INLINE_CHARACTERS


# Long texts, of two calls at once: other work that leaves the event loop need not wait for them.
_threads = ThreadPoolExecutor(2, thread_name_prefix="cut")


class _Encoder:
    """Makes ids of a call's segments, of equal ones once."""

    def __init__(self, request: TranslationRequest) -> None:
        self._tokenizer, self._pair = request.model.tokenizer, request.pair
        self._deadline, self._num_pieces = request.deadline, 0
        self._is_as_written = request.segmentation is Segmentation.NONE
        self.is_over = threading.Event()
        self.max_tokens = request.model.max_source_tokens
        self.max_characters = CHARACTERS_PER_TOKEN * self.max_tokens
        self._ids: dict[str, list[int]] = {}
        self._num_special = len(self._encoded(""))  # no source is without these

    def ids(self, text: str) -> list[int]:
        """The source; empty where there is nothing but special tokens."""
        ids = self._encoded(text)
        return ids if len(ids) > self._num_special else []

    def fits(self, text: str) -> bool:
        """Whether the model takes it as one sequence.

        Raises:
            InvalidRequest: it was asked of too many pieces.
            DeadlineExceeded: nobody waits for the answer any more.
        """
        self._num_pieces += 1
        if self._num_pieces > MAX_PIECES:
            fault = f"have more than {MAX_PIECES} sentences and lines, the limit of a call: send fewer"
            raise InvalidRequest([Violation("texts", fault)])
        if self.is_over.is_set() or (self._deadline is not None and time.monotonic() >= self._deadline):
            raise DeadlineExceeded(was_queued=False)
        return len(text) <= self.max_characters and len(self._encoded(text)) <= self.max_tokens

    def _encoded(self, text: str) -> list[int]:
        if (ids := self._ids.get(text)) is None:
            source, target = self._pair
            read = text if self._is_as_written else in_sentence_case(text, source)
            ids = self._tokenizer.encode_source(read, target, source_language=source)
            self._ids[text] = ids
        return ids


def _tokenized(encoder: _Encoder, text: str, request: TranslationRequest) -> TokenizedText | RequestError:
    language, is_whole = request.pair[0], request.segmentation is Segmentation.NONE
    if request.format is Format.PLAIN:
        if is_whole and len(text) > encoder.max_characters and text.strip():
            return TextTooLong(len(text), encoder.max_characters)
        document = read_document(text, language, request.segmentation, encoder.fits)
    else:
        document = read_marked(text, request.format, language, request.segmentation, encoder.fits)
        longest = max((len(segment.text) for segment in document.segments), default=0)
        if is_whole and longest > encoder.max_characters:
            return TextTooLong(longest, encoder.max_characters)
    sources = [encoder.ids(segment.text) for segment in document.segments]
    if not all(sources) and not (is_whole and request.format is Format.PLAIN):
        # Of some the vocabulary knows nothing: they stay.
        known = [i for i, ids in enumerate(sources) if ids]
        document, sources = document.with_segments(known), [sources[i] for i in known]
    if is_whole and (most := max(map(len, sources), default=0)) > encoder.max_tokens:
        return SourceTooLong(most, encoder.max_tokens)
    return TokenizedText(document=document.with_terms(request.glossaries), sources=sources)
