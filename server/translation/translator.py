"""Texts in, translations out: tokenize, queue, wait for the model, detokenize.

It knows no protocol and no metrics: whoever serves a call hands it a `Record` to write into.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from server.engine.sequence import Hypothesis
from server.errors import DeadlineExceeded, Draining, InvalidRequest, RequestError
from server.models.loading import LoadedModel
from server.translation.answer_limit import answer_size_faults
from server.translation.attention_limit import attention_size_faults
from server.translation.detokenizing import empty_translation, translation_of
from server.translation.request import TranslationRequest
from server.translation.results import Translation, Translations
from server.translation.sources import Source, tokenize
from server.work.job import Job, JobTimes
from server.work.loop_waker import LoopWaker

_Outcome = tuple[Hypothesis, ...] | BaseException


class Record(Protocol):
    """What is told of a call while it is worked on; times are on the monotonic clock, in seconds."""

    def end_stage(self, name: str, started: float) -> None:
        """A stage (tokenize or detokenize) that ends now."""

    def follow(self, times: list[JobTimes]) -> None:
        """How far the call's jobs have got, now and later: their runners go on writing into these."""

    def count(self, translation: Translation) -> None:
        """One text that a model has translated."""


class Translator:
    """Translates the texts of calls, many calls at once; of one event loop.

    Args:
        max_answer_bytes: What the answer of a call may have; None for no limit.
    """

    def __init__(self, max_answer_bytes: int | None = None) -> None:
        self._waker = LoopWaker()
        self._max_answer_bytes = max_answer_bytes

    async def translate(self, request: TranslationRequest, record: Record) -> Translations:
        """Translate every text of a call.

        Returns:
            An item for each text; one that is too long, or that the model failed on, is an error of its own.

        Raises:
            InvalidRequest: it may make more attention than a call may, or too large an answer.
            QueueFull, Overloaded, Draining: the model takes none of its texts.
            DeadlineExceeded: its deadline has passed.
        """
        model, options = request.model, request.options
        with model.in_use():
            started = time.monotonic()
            sources = await tokenize(model, request.texts, request.pair[1])
            record.end_stage("tokenize", started)
            jobs = {
                i: Job(
                    source=tuple(source),
                    options=options.seeded(),
                    deadline=request.deadline,
                    client=request.client,
                    priority=request.priority,
                )
                for i, source in enumerate(sources)
                if source and not isinstance(source, RequestError)
            }
            faults = attention_size_faults(jobs.values())
            faults += answer_size_faults(jobs.values(), self._max_answer_bytes)
            if faults:
                raise InvalidRequest(faults)
            outcomes = await self._run(model, jobs, request.deadline, record)
            return _translations(request, sources, outcomes, record)

    async def _run(
        self, model: LoadedModel, jobs: dict[int, Job], deadline: float | None, record: Record
    ) -> dict[int, _Outcome]:
        """What became of each job; a call that is cancelled cancels them."""
        if deadline is not None and deadline <= time.monotonic():
            raise DeadlineExceeded(was_queued=False)
        submitted = model.worker.submit(list(jobs.values()))
        record.follow([future.times for _, future in submitted])
        try:
            await self._waker.all_done([future for _, future in submitted])
        except asyncio.CancelledError:
            model.worker.cancel([sequence_id for sequence_id, _ in submitted])
            raise
        outcomes = [future.exception() or future.result() for _, future in submitted]
        for outcome in outcomes:
            if isinstance(outcome, (DeadlineExceeded, Draining)):
                raise outcome
        return dict(zip(jobs, outcomes, strict=True))


def _translations(
    request: TranslationRequest, sources: Sequence[Source], outcomes: dict[int, _Outcome], record: Record
) -> Translations:
    started = time.monotonic()
    items = [_item(request, source, outcomes.get(i), record) for i, source in enumerate(sources)]
    record.end_stage("detokenize", started)
    return Translations(items=items, model=request.model)


def _item(
    request: TranslationRequest, source: Source, outcome: _Outcome | None, record: Record
) -> Translation | RequestError:
    if isinstance(source, RequestError):
        return source
    if outcome is None:
        return empty_translation(request.options)
    if isinstance(outcome, RequestError):
        return outcome
    if isinstance(outcome, BaseException):
        raise outcome
    translation = translation_of(source, outcome, request.model.tokenizer, request.options)
    record.count(translation)
    return translation
