"""Texts in, translations out: cut and tokenize, queue, wait for the model, detokenize and join.

It knows no protocol and no metrics: whoever serves a call hands it a `Record` to write into.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from server.documents.document import Segmentation
from server.documents.markup.reading import Format
from server.documents.markup.tokens import Range
from server.errors import DeadlineExceeded, InvalidRequest, RequestError
from server.translation.answer_limit import answer_size_faults
from server.translation.assembling import SegmentResult, assembled, segment_result, untranslated
from server.translation.attention_limit import attention_size_faults
from server.translation.cost_limit import cost_faults
from server.translation.marking import Place, aligned_options
from server.translation.request import TranslationRequest
from server.translation.results import Translation, Translations
from server.translation.running import Outcome, run_jobs
from server.translation.sources import TokenizedText, is_short, tokenize
from server.work.job import Job, JobTimes
from server.work.loop_waker import LoopWaker
from server.work.options import SearchOptions


class Record(Protocol):
    """What is told of a call while it is worked on; times are on the monotonic clock, in seconds."""

    def end_stage(self, name: str, started: float) -> None:
        """A stage (tokenize or detokenize) that ends now."""

    def follow(self, times: list[JobTimes]) -> None:
        """How far the call's jobs have got, now and later: their runners go on writing into these."""

    def count(self, translation: Translation) -> None:
        """One text that a model has translated, or that there are warnings of."""


class Translator:
    """Translates the texts of calls, many calls at once; of one event loop.

    Args:
        max_answer_bytes: What the answer of a call may have; None for no limit.
        max_call_tokens: What a call may cost, see `cost_faults`; None for no limit.
    """

    def __init__(self, max_answer_bytes: int | None = None, max_call_tokens: int | None = None) -> None:
        self._waker = LoopWaker()
        self._max_answer_bytes, self._max_call_tokens = max_answer_bytes, max_call_tokens

    async def translate(self, request: TranslationRequest, record: Record) -> Translations:
        """Translate every text of a call, whose model is in memory and stays there.

        Returns:
            An item for each text; one that the model failed on, or that is too long and shall not be cut, is
            an error of its own.

        Raises:
            InvalidRequest: it may make more attention than a call may, or too large an answer, or costs more.
            QueueFull, Overloaded, Draining: the model takes none of its texts.
            DeadlineExceeded: its deadline has passed.
        """
        model, request = request.model, _with_first_token(request)
        started = time.monotonic()
        texts = await tokenize(request)
        record.end_stage("tokenize", started)
        options = _options(request, texts)
        jobs = {
            (i, j): _job(request, source, options.get((i, j), request.options))
            for i, text in enumerate(texts)
            if isinstance(text, TokenizedText)
            for j, source in enumerate(text.sources)
            if source
        }
        faults = attention_size_faults(jobs.values()) if request.options.attention else []
        kept = sum(text.num_kept_bytes for text in texts if isinstance(text, TokenizedText))
        faults += answer_size_faults(jobs.values(), kept, self._max_answer_bytes)
        faults += cost_faults(jobs.values(), self._max_call_tokens)
        if faults:
            raise InvalidRequest(faults)
        if request.deadline is not None and request.deadline <= time.monotonic():
            raise DeadlineExceeded(was_queued=False)
        results = await run_jobs(
            model.worker, self._waker, list(jobs.values()), record, num_texts=len(request.texts)
        )
        outcomes = dict(zip(jobs, results, strict=True))
        started = time.monotonic()
        items = await _items(request, texts, options, outcomes, record)
        record.end_stage("detokenize", started)
        return Translations(items=items, model=model, pair=request.pair)


def _with_first_token(request: TranslationRequest) -> TranslationRequest:
    """The request with the token that its model begins such translations with, if there is one."""
    first_token = request.model.tokenizer.first_target_token(request.pair[1])
    if first_token is None:
        return request
    return replace(request, options=replace(request.options, first_token=first_token))


def _options(
    request: TranslationRequest, texts: Sequence[TokenizedText | RequestError]
) -> Mapping[Place, SearchOptions]:
    """How to search for those segments that are searched in another way than the request says."""
    if request.format is Format.PLAIN:
        return {}
    return aligned_options(
        request,
        (
            ((i, j), segment, len(source))
            for i, text in enumerate(texts)
            if isinstance(text, TokenizedText)
            for j, (segment, source) in enumerate(zip(text.document.segments, text.sources, strict=True))
        ),
    )


def _job(request: TranslationRequest, source: list[int], options: SearchOptions) -> Job:
    return Job(
        source=tuple(source),
        options=options.seeded(),
        deadline=request.deadline,
        client=request.client,
        priority=request.priority,
    )


async def _items(
    request: TranslationRequest,
    texts: Sequence[TokenizedText | RequestError],
    options: Mapping[Place, SearchOptions],
    outcomes: Mapping[Place, Outcome],
    record: Record,
) -> list[Translation | RequestError]:
    """The translation of each text, or why there is none; long work leaves the event loop to others."""

    def items() -> list[Translation | RequestError]:
        return [
            _item(
                request,
                text,
                [options.get((i, j), request.options) for j in range(len(text.sources))],
                [outcomes.get((i, j)) for j in range(len(text.sources))],
            )
            if isinstance(text, TokenizedText)
            else text
            for i, text in enumerate(texts)
        ]

    translations = items() if is_short(request) else await asyncio.to_thread(items)
    for item in translations:
        if isinstance(item, Translation) and (item.segments or item.warnings):
            record.count(item)
    return translations


def _item(
    request: TranslationRequest,
    text: TokenizedText,
    options: Sequence[SearchOptions],
    outcomes: Sequence[Outcome | None],
) -> Translation | RequestError:
    segments, tokenizer = text.document.segments, request.model.tokenizer
    results: dict[int, SegmentResult] = {}
    inner: dict[Range, str] = {}
    for i in sorted(range(len(segments)), key=lambda i: not segments[i].is_inner):
        segment, outcome = segments[i], outcomes[i]
        if isinstance(outcome, RequestError):
            return outcome
        if isinstance(outcome, BaseException):
            raise outcome
        result = segment_result(
            segment,
            text.sources[i],
            outcome,
            tokenizer,
            request.pair,
            options[i],
            inner=inner,
            is_in_form=request.segmentation is not Segmentation.NONE,  # that is for those who study a model
        )
        results[i] = result if options[i] is request.options else result.without_attention()
        if segment.is_inner:
            inner[segment.start, segment.end] = results[i].hypotheses[0].text
    if not any(text.sources):
        return untranslated(text.document, request.options)
    in_order = [results[i] for i in range(len(segments))]
    return assembled(text.document, in_order, request.pair, request.options)
