"""TranslationService: the one file that handles the contract's messages."""

from __future__ import annotations

import asyncio
import math
import re
import time
from dataclasses import dataclass
from typing import cast

import grpc

from model.tokenizer import Tokenizer
from server.config import ServerConfig
from server.engine.sequence import Hypothesis, StopReason
from server.errors import (
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    NotServed,
    QueueFull,
    RequestError,
    SourceTooLong,
    Violation,
    abort,
    shown,
    to_status,
)
from server.metrics import Metrics
from server.models import LoadedModel, Models
from server.pb.translation.v1 import translation_pb2 as pb
from server.pb.translation.v1 import translation_pb2_grpc as pb_grpc
from server.worker import Job

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")  # RFC 5646, as far as its form goes
DEFAULT_BEAM_SIZE = 4
DEFAULT_LENGTH_PENALTY = 1.0
_NUM_SPECIAL = 2  # a source is never without its tag and its end
_INLINE_CHARACTERS = 4096
_REJECT_REASON: dict[type[RequestError], str] = {
    InvalidRequest: "invalid",
    NotServed: "invalid",
    QueueFull: "queue_full",
    Draining: "draining",
}
_STOP_REASONS = {
    StopReason.END: pb.STOP_REASON_END_OF_SENTENCE,
    StopReason.LENGTH: pb.STOP_REASON_MAX_TARGET_TOKENS,
}

Context = grpc.aio.ServicerContext[pb.TranslateRequest, pb.TranslateResponse]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to search, defaults filled in; max_target_tokens None depends on the source's length."""

    beam_size: int
    length_penalty: float
    max_target_tokens: int | None
    num_hypotheses: int


class TranslationService(pb_grpc.TranslationServiceServicer):
    """Validates, tokenizes, waits for the worker, detokenizes."""

    def __init__(self, models: Models, config: ServerConfig, metrics: Metrics) -> None:
        self._models, self._config, self._metrics = models, config, metrics
        self._stage = metrics.stage_seconds

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """Every loaded model."""
        del request, context
        return pb.ListModelsResponse(models=[_describe(model) for model in self._models])

    async def Translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:  # noqa: N802
        """Translate every text of a call."""
        try:
            return await self._translate(request, context)
        except RequestError as error:
            if type(error) in _REJECT_REASON:
                self._metrics.rejected[_REJECT_REASON[type(error)]].inc()
            await abort(context, error)

    async def _translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        started = time.monotonic()
        remaining = cast("float | None", context.time_remaining())  # None without a deadline
        deadline = None if remaining is None else started + remaining
        model, pair = self._validate(request)
        options = _options(request.options)
        validated = time.monotonic()
        self._stage["validate"].observe(validated - started)
        sources = await _tokenize(model.tokenizer, list(request.texts), pair[1])
        self._stage["tokenize"].observe(time.monotonic() - validated)
        jobs = {
            i: _job(source, options, model, deadline)
            for i, source in enumerate(sources)
            if source and len(source) <= model.max_source_tokens
        }
        found = await self._run(model, jobs, deadline)
        return self._response(model, pair, sources, found, options)

    async def _run(
        self, model: LoadedModel, jobs: dict[int, Job], deadline: float | None
    ) -> dict[int, tuple[Hypothesis, ...] | BaseException]:
        if deadline is not None and deadline <= time.monotonic():
            self._metrics.rejected["deadline"].inc()
            raise DeadlineExceeded
        submitted = model.worker.submit(list(jobs.values()))
        try:
            results = await asyncio.gather(
                *(asyncio.wrap_future(future) for _, future in submitted), return_exceptions=True
            )
        except asyncio.CancelledError:
            model.worker.cancel([sequence_id for sequence_id, _ in submitted])
            raise
        for result in results:
            if isinstance(result, (DeadlineExceeded, Draining)):
                raise result
        return dict(zip(jobs, results, strict=True))

    def _validate(self, request: pb.TranslateRequest) -> tuple[LoadedModel, tuple[str, str]]:
        """Find the model, or report every fault of the request at once."""
        faults = [
            Violation(name, f"is {shown(getattr(request, name))}, must be a BCP-47 language code")
            for name in ("source_language", "target_language")
            if not _LANGUAGE.fullmatch(getattr(request, name))
        ]
        most_texts = min(self._config.max_texts, self._config.max_queue)
        if not 1 <= len(request.texts) <= most_texts:
            faults.append(Violation("texts", f"has {len(request.texts)} texts, must have 1 to {most_texts}"))
        try:
            model, pair = self._models.find(request.model, request.source_language, request.target_language)
        except NotServed as error:
            faults += self._option_faults(request.options, None)
            if faults:
                raise InvalidRequest(faults) from error
            raise
        faults += self._option_faults(request.options, model.max_target_tokens)
        if faults:
            raise InvalidRequest(faults)
        return model, pair

    def _option_faults(self, options: pb.TranslateOptions, most_target_tokens: int | None) -> list[Violation]:
        beam_size = _options(options).beam_size
        faults = [
            *_range_fault("beam_size", beam_size, self._config.max_beam_size),
            *_range_fault("num_hypotheses", _options(options).num_hypotheses, max(beam_size, 1)),
        ]
        if options.HasField("max_target_tokens"):
            faults += _range_fault("max_target_tokens", options.max_target_tokens, most_target_tokens)
        alpha = _options(options).length_penalty
        if not (math.isfinite(alpha) and alpha >= 0):
            faults.append(Violation("options.length_penalty", f"is {alpha}, must be finite and at least 0"))
        return faults

    def _response(
        self,
        model: LoadedModel,
        pair: tuple[str, str],
        sources: list[list[int]],
        found: dict[int, tuple[Hypothesis, ...] | BaseException],
        options: Options,
    ) -> pb.TranslateResponse:
        started = time.monotonic()
        items = []
        for i, source in enumerate(sources):
            result = found.get(i)
            if not source:
                items.append(_empty_item())
            elif result is None:
                items.append(_error_item(SourceTooLong(len(source), model.max_source_tokens)))
            elif isinstance(result, RequestError):
                items.append(_error_item(result))
            elif isinstance(result, BaseException):
                raise result
            else:
                items.append(
                    self._item(model.tokenizer, source, result[: options.num_hypotheses], "-".join(pair))
                )
        self._stage["detokenize"].observe(time.monotonic() - started)
        return pb.TranslateResponse(
            items=items, model=pb.ModelReference(name=model.name, sha256=model.sha256)
        )

    def _item(
        self, tokenizer: Tokenizer, source: list[int], hypotheses: tuple[Hypothesis, ...], pair: str
    ) -> pb.TranslationItem:
        described = [
            pb.Hypothesis(
                text=tokenizer.detokenize(h.token_ids),
                score=h.score,
                log_prob=h.log_prob,
                stop_reason=_STOP_REASONS[h.stop_reason],
                target_tokens=len(h.token_ids),
            )
            for h in hypotheses
        ]
        best = described[0]
        self._metrics.source_tokens.observe(len(source))
        self._metrics.target_tokens.observe(best.target_tokens)
        self._metrics.tokens.labels("source", pair).inc(len(source))
        self._metrics.tokens.labels("target", pair).inc(best.target_tokens)
        if best.stop_reason == pb.STOP_REASON_MAX_TARGET_TOKENS:
            self._metrics.output_truncated.labels(pair).inc()
        return pb.TranslationItem(
            translation=pb.Translation(
                text=best.text,
                hypotheses=described,
                stop_reason=best.stop_reason,
                source_tokens=len(source),
                target_tokens=best.target_tokens,
            )
        )


def _range_fault(name: str, value: int, most: int | None) -> list[Violation]:
    if value >= 1 and (most is None or value <= most):
        return []
    upper = f" and at most {most}" if most is not None else ""
    return [Violation(f"options.{name}", f"is {value}, must be at least 1{upper}")]


def _options(options: pb.TranslateOptions) -> Options:
    return Options(
        beam_size=options.beam_size if options.HasField("beam_size") else DEFAULT_BEAM_SIZE,
        length_penalty=options.length_penalty
        if options.HasField("length_penalty")
        else DEFAULT_LENGTH_PENALTY,
        max_target_tokens=options.max_target_tokens if options.HasField("max_target_tokens") else None,
        num_hypotheses=options.num_hypotheses if options.HasField("num_hypotheses") else 1,
    )


async def _tokenize(tokenizer: Tokenizer, texts: list[str], target_language: str) -> list[list[int]]:
    """Ids of each text; none for one without anything to translate, such as white space.

    Long work leaves the event loop to others; for a sentence the hop would take longer than the work.
    """

    def ids() -> list[list[int]]:
        sources = (tokenizer.encode_source(text, target_language) if text.strip() else [] for text in texts)
        return [source if len(source) > _NUM_SPECIAL else [] for source in sources]

    is_short = sum(map(len, texts)) <= _INLINE_CHARACTERS
    return ids() if is_short else await asyncio.to_thread(ids)


def _job(source: list[int], options: Options, model: LoadedModel, deadline: float | None) -> Job:
    limit = options.max_target_tokens or min(2 * len(source) + 16, model.max_target_tokens)
    return Job(
        source=tuple(source),
        beam_size=options.beam_size,
        length_penalty=options.length_penalty,
        max_target_tokens=limit,
        deadline=deadline,
    )


def _empty_item() -> pb.TranslationItem:
    reason = pb.STOP_REASON_EMPTY_SOURCE
    hypothesis = pb.Hypothesis(stop_reason=reason)
    return pb.TranslationItem(translation=pb.Translation(hypotheses=[hypothesis], stop_reason=reason))


def _error_item(error: RequestError) -> pb.TranslationItem:
    return pb.TranslationItem(error=to_status(error))


def _describe(model: LoadedModel) -> pb.Model:
    pairs = [pb.LanguagePair(source_language=a, target_language=b) for a, b in model.manifest.language_pairs]
    return pb.Model(
        name=model.name,
        sha256=model.sha256,
        precision=model.manifest.precision,
        language_pairs=pairs,
        max_source_tokens=model.max_source_tokens,
        max_target_tokens=model.max_target_tokens,
        architecture=model.manifest.architecture,
    )
