"""TranslationService: from messages to jobs and back; of the messages only the options are read elsewhere."""

from __future__ import annotations

import asyncio
import re
import time
from typing import cast

import grpc

from export.contract.manifest import AttentionInfo
from model.text.tokenizer import Tokenizer
from server.api.option_faults import attention_size_faults, option_faults
from server.api.options import Options, read_options
from server.api.status import abort, to_status
from server.config import ServerConfig
from server.engine.sequence import AttentionChoice, Hypothesis, StopReason
from server.errors import (
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    NotServed,
    QueueFull,
    RequestError,
    SourceTooLong,
    TextTooLong,
    Violation,
    quoted,
)
from server.models.loading import LoadedModel
from server.models.serving import ServedModels
from server.telemetry.call import Call, current_call
from server.telemetry.metrics import Metrics
from server.work.job import Job
from server.work.loop_waker import LoopWaker
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")  # RFC 5646, as far as its form goes
_NUM_SPECIAL = 2  # a source is never without its tag and its end
_INLINE_CHARACTERS = 4096
_CHARACTERS_PER_TOKEN = 64  # no language needs so many: a longer text is refused before it costs seconds
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


class TranslationService(pb_grpc.TranslationServiceServicer):
    """Validates, tokenizes, waits for the worker, detokenizes."""

    def __init__(self, served: ServedModels, config: ServerConfig, metrics: Metrics) -> None:
        self._served, self._config, self._metrics = served, config, metrics
        self._waker = LoopWaker()

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """Every loaded model."""
        del request, context
        return pb.ListModelsResponse(models=[_describe(model) for model in self._served.current])

    async def Translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:  # noqa: N802
        """Translate every text of a call."""
        try:
            return await self._translate(request, context)
        except RequestError as error:
            if type(error) in _REJECT_REASON:
                self._metrics.rejected[_REJECT_REASON[type(error)]].inc()
            await abort(context, error)

    async def _translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        call = current_call.get()
        started = time.monotonic()
        remaining = cast("float | None", context.time_remaining())  # None without a deadline
        deadline = None if remaining is None else started + remaining
        call.num_texts = len(request.texts)
        model, pair = self._validate(request)
        options = read_options(request.options, model, self._config.max_beam_size)
        call.model, call.pair = model.name, "-".join(pair)
        call.search, call.beam_size = type(options.method).__name__.lower(), options.method.width
        self._end_stage(call, "validate", started)
        with model.in_use():
            return await self._translate_by(call, model, pair, request, options, deadline)

    async def _translate_by(
        self,
        call: Call,
        model: LoadedModel,
        pair: tuple[str, str],
        request: pb.TranslateRequest,
        options: Options,
        deadline: float | None,
    ) -> pb.TranslateResponse:
        validated = time.monotonic()
        sources = await _tokenize(model, list(request.texts), pair[1])
        self._end_stage(call, "tokenize", validated)
        jobs = {
            i: options.job(source, deadline)
            for i, source in enumerate(sources)
            if source and not isinstance(source, RequestError)
        }
        if faults := attention_size_faults(jobs.values()):
            raise InvalidRequest(faults)
        found = await self._run(call, model, jobs, deadline)
        return self._response(call, model, sources, found, options)

    def _end_stage(self, call: Call, name: str, started: float) -> float:
        """Count and remember a stage that ends now."""
        now = time.monotonic()
        call.own_stages[name] = (started, now)
        self._metrics.stage_seconds[name].observe(now - started)
        return now

    async def _run(
        self, call: Call, model: LoadedModel, jobs: dict[int, Job], deadline: float | None
    ) -> dict[int, tuple[Hypothesis, ...] | BaseException]:
        if deadline is not None and deadline <= time.monotonic():
            self._metrics.rejected["deadline"].inc()
            raise DeadlineExceeded
        submitted = model.worker.submit(list(jobs.values()))
        call.jobs = [future.times for _, future in submitted]
        try:
            await self._waker.all_done([future for _, future in submitted])
        except asyncio.CancelledError:
            model.worker.cancel([sequence_id for sequence_id, _ in submitted])
            raise
        results = [future.exception() or future.result() for _, future in submitted]
        for result in results:
            if isinstance(result, (DeadlineExceeded, Draining)):
                raise result
        return dict(zip(jobs, results, strict=True))

    def _validate(self, request: pb.TranslateRequest) -> tuple[LoadedModel, tuple[str, str]]:
        """Find the model, or report every fault of the request at once."""
        faults = [
            Violation(name, f"is {quoted(getattr(request, name))}, must be a BCP-47 language code")
            for name in ("source_language", "target_language")
            if not _LANGUAGE.fullmatch(getattr(request, name))
        ]
        most_texts = min(self._config.max_texts, self._config.max_queue)
        if not 1 <= len(request.texts) <= most_texts:
            faults.append(Violation("texts", f"has {len(request.texts)} texts, must have 1 to {most_texts}"))
        try:
            model, pair = self._served.current.find(
                request.model, request.source_language, request.target_language
            )
        except NotServed as error:
            faults += option_faults(request.options, None, self._config.max_beam_size)
            if faults:
                raise InvalidRequest(faults) from error
            raise
        faults += option_faults(request.options, model, self._config.max_beam_size)
        if faults:
            raise InvalidRequest(faults)
        return model, pair

    def _response(
        self,
        call: Call,
        model: LoadedModel,
        sources: list[list[int] | RequestError],
        found: dict[int, tuple[Hypothesis, ...] | BaseException],
        options: Options,
    ) -> pb.TranslateResponse:
        started = time.monotonic()
        items = []
        for i, source in enumerate(sources):
            if isinstance(source, RequestError):
                items.append(_error_item(source))
            elif not source:
                items.append(_empty_item(options))
            elif isinstance(result := found[i], RequestError):
                items.append(_error_item(result))
            elif isinstance(result, BaseException):
                raise result
            else:
                items.append(self._item(call, model.tokenizer, source, result, options))
        self._end_stage(call, "detokenize", started)
        return pb.TranslateResponse(
            items=items, model=pb.ModelReference(name=model.name, sha256=model.sha256)
        )

    def _item(
        self,
        call: Call,
        tokenizer: Tokenizer,
        source: list[int],
        hypotheses: tuple[Hypothesis, ...],
        options: Options,
    ) -> pb.TranslationItem:
        described = [
            _hypothesis(tokenizer, source, hypothesis, options)
            for hypothesis in hypotheses[: options.num_hypotheses]
        ]
        best = described[0]
        call.source_tokens += len(source)
        call.target_tokens += best.target_tokens
        self._metrics.source_tokens.observe(len(source))
        self._metrics.target_tokens.observe(best.target_tokens)
        self._metrics.tokens.labels("source", call.pair).inc(len(source))
        self._metrics.tokens.labels("target", call.pair).inc(best.target_tokens)
        if best.stop_reason == pb.STOP_REASON_MAX_TARGET_TOKENS:
            self._metrics.output_truncated.labels(call.pair).inc()
        return pb.TranslationItem(
            translation=pb.Translation(
                text=best.text,
                hypotheses=described,
                stop_reason=best.stop_reason,
                source_tokens=len(source),
                target_tokens=best.target_tokens,
            )
        )


async def _tokenize(
    model: LoadedModel, texts: list[str], target_language: str
) -> list[list[int] | RequestError]:
    """Ids of each text, or why it has none; empty for one without anything to translate, as white space.

    Long work leaves the event loop to others; for a sentence the hop would take longer than the work.
    """

    def sources() -> list[list[int] | RequestError]:
        return [_source(model, text, target_language) for text in texts]

    is_short = sum(map(len, texts)) <= _INLINE_CHARACTERS
    return sources() if is_short else await asyncio.to_thread(sources)


def _source(model: LoadedModel, text: str, target_language: str) -> list[int] | RequestError:
    most = model.max_source_tokens
    if not text.strip():
        return []
    if len(text) > _CHARACTERS_PER_TOKEN * most:
        return TextTooLong(len(text), _CHARACTERS_PER_TOKEN * most)
    source = model.tokenizer.encode_source(text, target_language)
    if len(source) > most:
        return SourceTooLong(len(source), most)
    return source if len(source) > _NUM_SPECIAL else []


def _hypothesis(
    tokenizer: Tokenizer, source: list[int], hypothesis: Hypothesis, options: Options
) -> pb.Hypothesis:
    choice = options.attention
    return pb.Hypothesis(
        text=tokenizer.detokenize(hypothesis.token_ids),
        score=hypothesis.score if options.with_scores else None,
        log_prob=hypothesis.log_prob if options.with_scores else None,
        stop_reason=_STOP_REASONS[hypothesis.stop_reason],
        target_tokens=len(hypothesis.token_ids),
        attention=None if choice is None else _attention(tokenizer, source, hypothesis, choice),
    )


def _attention(
    tokenizer: Tokenizer, source: list[int], hypothesis: Hypothesis, choice: AttentionChoice
) -> pb.Attention:
    assert hypothesis.attention is not None, "the engine gives what a job asks for"
    return pb.Attention(
        source_tokens=map(tokenizer.piece, source),
        target_tokens=map(tokenizer.piece, hypothesis.token_ids),
        layer=choice.layer,
        heads=choice.heads,
        weights=hypothesis.attention.ravel().tolist(),  # (T, S) to (T * S)
    )


def _empty_item(options: Options) -> pb.TranslationItem:
    reason = pb.STOP_REASON_EMPTY_SOURCE
    zero = 0.0 if options.with_scores else None
    hypothesis = pb.Hypothesis(score=zero, log_prob=zero, stop_reason=reason)
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
        attention=_attention_layers(model.manifest.attention),
    )


def _attention_layers(info: AttentionInfo | None) -> pb.AttentionLayers | None:
    if info is None:
        return None
    return pb.AttentionLayers(
        num_layers=info.num_layers, num_heads=info.num_heads, default_layer=info.default_layer
    )
