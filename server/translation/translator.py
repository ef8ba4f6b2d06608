"""Texts in, translations out: cut and tokenize, queue, wait for the model, detokenize and join.

It knows no protocol and no metrics: whoever serves a call hands it a `Record` to write into.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from server.access.admission import charge_source_tokens
from server.documents.document import Segmentation
from server.documents.markup.reading import Format
from server.documents.markup.tokens import Range
from server.errors import (
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    Overloaded,
    QueueFull,
    RequestError,
)
from server.translation.answer_limit import answer_size_faults
from server.translation.assembling import SegmentResult, assembled, segment_result, untranslated
from server.translation.attention_limit import attention_size_faults
from server.translation.cost_limit import cost_faults
from server.translation.marking import Place, aligned_options
from server.translation.request import TranslationRequest
from server.translation.results import Translation, Translations
from server.translation.running import Outcome, run_jobs
from server.translation.second_search import Item, better, loop_free_jobs
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
            QuotaExceeded: its tenant has not so many tokens left.
            QueueFull, Overloaded, Draining: the model takes none of its texts.
            DeadlineExceeded: its deadline has passed.
        """
        request = _with_first_token(request)
        started = time.monotonic()
        texts = await tokenize(request)
        record.end_stage("tokenize", started)
        call = _Call(request, texts)
        settle = self._require_allowed(call)
        outcomes = await self._run(call, call.jobs, record)
        settle()
        detokenized = time.monotonic()
        items = await call.items(range(len(texts)), outcomes)
        record.end_stage("detokenize", detokenized)
        items = await self._without_loops(call, outcomes, items, record, started)
        for item in items:
            if isinstance(item, Translation) and (item.segments or item.warnings):
                record.count(item)
        return Translations(items=items, model=request.model, pair=request.pair)

    def _require_allowed(self, call: _Call) -> Callable[[], None]:
        """Refuse what may cost or answer more than a call or its tenant may, or what comes too late."""
        request, jobs = call.request, call.jobs.values()
        faults = attention_size_faults(jobs) if request.options.attention else []
        faults += answer_size_faults(jobs, call.num_kept_bytes, self._max_answer_bytes)
        faults += cost_faults(jobs, self._max_call_tokens)
        if faults:
            raise InvalidRequest(faults)
        if request.deadline is not None and request.deadline <= time.monotonic():
            raise DeadlineExceeded(was_queued=False)
        return charge_source_tokens(sum(len(job.source) for job in jobs))

    async def _run(self, call: _Call, jobs: Mapping[Place, Job], record: Record) -> dict[Place, Outcome]:
        """What became of each job."""
        worker, num_texts = call.request.model.worker, len(call.request.texts)
        results = await run_jobs(
            worker, self._waker, list(jobs.values()), record, num_texts=num_texts, times=call.times
        )
        return dict(zip(jobs, results, strict=True))

    async def _without_loops(
        self,
        call: _Call,
        outcomes: dict[Place, Outcome],
        items: list[Item],
        record: Record,
        started: float,
    ) -> list[Item]:
        """The items, after a second search for what repeats itself if there is time and room for it."""
        jobs = {} if call.is_verbatim else loop_free_jobs(call.jobs, items)
        now, deadline = time.monotonic(), call.request.deadline
        if not jobs or (deadline is not None and deadline - now < now - started):
            return items
        try:
            second = await self._run(call, jobs, record)
        except (QueueFull, Overloaded, Draining, DeadlineExceeded):
            return items
        again = sorted({i for i, _ in jobs})
        for i, item in zip(again, await call.items(again, outcomes | second), strict=True):
            items[i] = better(items[i], item)
        return items


class _Call:
    """A call's texts, cut, and the jobs that their segments are."""

    def __init__(self, request: TranslationRequest, texts: Sequence[TokenizedText | RequestError]) -> None:
        self.request, self._texts = request, texts
        self._options = _options(request, texts)
        self.times: list[JobTimes] = []  # of all its jobs
        # That is for those who study a model.
        self.is_verbatim = request.segmentation is Segmentation.NONE
        self.jobs = {
            (i, j): _job(request, source, self._options.get((i, j), request.options))
            for i, text in enumerate(texts)
            if isinstance(text, TokenizedText)
            for j, source in enumerate(text.sources)
            if source
        }

    @property
    def num_kept_bytes(self) -> int:
        """Of all texts."""
        return sum(text.num_kept_bytes for text in self._texts if isinstance(text, TokenizedText))

    async def items(self, numbers: Sequence[int], outcomes: Mapping[Place, Outcome]) -> list[Item]:
        """The translation of some texts, or why there is none; long work leaves the event loop to others."""

        def items() -> list[Item]:
            return [self._item(i, outcomes) for i in numbers]

        return items() if is_short(self.request) else await asyncio.to_thread(items)

    def _item(self, i: int, outcomes: Mapping[Place, Outcome]) -> Item:
        text, request = self._texts[i], self.request
        if isinstance(text, RequestError):
            return text
        places = [(i, j) for j in range(len(text.sources))]
        return _item(
            request,
            text,
            [self._options.get(place, request.options) for place in places],
            [outcomes.get(place) for place in places],
            is_mended=not self.is_verbatim,
        )


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
    is_plain = request.format is Format.PLAIN and not request.glossaries
    options = {} if is_plain else _aligned(request, texts)
    for i, prefix in enumerate(request.prefixes):
        if prefix:
            options[i, 0] = options.get((i, 0), request.options).beginning_with(prefix)
    return options


def _aligned(
    request: TranslationRequest, texts: Sequence[TokenizedText | RequestError]
) -> dict[Place, SearchOptions]:
    return aligned_options(
        request,
        (
            ((i, j), len(source))
            for i, text in enumerate(texts)
            if isinstance(text, TokenizedText)
            for j, (segment, source) in enumerate(zip(text.document.segments, text.sources, strict=True))
            if segment.terms or (segment.skeleton is not None and segment.skeleton.marks)
        ),
    )


def _job(request: TranslationRequest, source: list[int], options: SearchOptions) -> Job:
    return Job(
        source=tuple(source),
        options=options.seeded(),
        deadline=request.deadline,
        client=request.client,
        priority=request.priority,
        call=request.part_of,
    )


def _item(
    request: TranslationRequest,
    text: TokenizedText,
    options: Sequence[SearchOptions],
    outcomes: Sequence[Outcome | None],
    *,
    is_mended: bool,
) -> Item:
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
            is_mended=is_mended,
        )
        is_asked_for = options[i].attention is request.options.attention
        results[i] = result if is_asked_for else result.without_attention()
        if segment.is_inner:
            inner[segment.start, segment.end] = results[i].hypotheses[0].text
    if not any(text.sources):
        return untranslated(text.document, request.options)
    in_order = [results[i] for i in range(len(segments))]
    return assembled(text.document, in_order, request.pair, request.options)
