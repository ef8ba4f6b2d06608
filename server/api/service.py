"""TranslationService: the gRPC shell around the translator."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

import grpc

from server.access.admission import current_tenant, room_for_texts
from server.access.visible_models import Serving
from server.api.access import require_priority
from server.api.clients import client_of
from server.api.constraints import constrained
from server.api.detected import Found, joined_response, parts_of
from server.api.glossary import GlossaryReader
from server.api.messages import model_message, response_message
from server.api.pairs import list_pairs
from server.api.requests import format_of, is_auto, parse_request, require_detectable
from server.api.scores import require_pairs, score_message, translate_request
from server.api.status import abort
from server.api.stream_requests import config_of, require_not_draining, until_draining, with_texts
from server.api.text_stream import TextStream, Write
from server.config import ServerConfig
from server.documents.glossary import Glossary
from server.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotServed,
    RequestError,
    TimeLimitExceeded,
    Violation,
    quoted,
)
from server.models.catalogue import Models
from server.telemetry.call import Call, current_call
from server.telemetry.call_record import CallRecord, count_rejection
from server.telemetry.logs import log_fault
from server.telemetry.metrics import Metrics
from server.translation.detection import LanguageDetector
from server.translation.pivoting import translate_through
from server.translation.request import TranslationRequest
from server.translation.results import Translations
from server.translation.running import all_or_none, parts_at_once
from server.translation.scoring import score
from server.translation.translator import Translator
from server.work.fair_order import Priority
from server.work.job_queue import BULK_WORK
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

Parse = Callable[[pb.TranslateRequest, Models], TranslationRequest]
Context = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request")
Response = TypeVar("Response")
Answer = Callable[[Request, Call, float, "float | None", str], Awaitable[Response]]


class TranslationService(pb_grpc.TranslationServiceServicer):
    """Reads requests, lets the translator work, and answers with its results or its errors."""

    def __init__(self, served: Serving, config: ServerConfig, metrics: Metrics) -> None:
        self._served, self._metrics = served, metrics
        self._max_texts = min(config.max_texts, config.max_queue)
        self._max_parts = parts_at_once(config.max_queue)
        self._num_streams = itertools.count(1)
        self._draining = asyncio.Event()
        self._max_beam_size = config.max_beam_size
        self._time_limit_seconds = config.time_limit_seconds
        self._max_message_bytes = config.max_message_bytes
        self._detector = LanguageDetector()
        self._glossaries = GlossaryReader()
        self._translator = Translator(config.max_message_bytes, config.max_call_tokens)

    def drain(self) -> None:
        """Let streams end once they have answered what they have read."""
        self._draining.set()

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """Every model."""
        del request, context
        return pb.ListModelsResponse(models=[model_message(model) for model in self._served.current])

    async def ListLanguagePairs(  # noqa: N802
        self, request: pb.ListLanguagePairsRequest, context: Context
    ) -> pb.ListLanguagePairsResponse:
        """Every language pair, or those of one language."""
        try:
            # In a thread: there may be tens of thousands.
            return await asyncio.to_thread(list_pairs, request, self._served.current, self._max_message_bytes)
        except RequestError as error:
            count_rejection(self._metrics, error)
            await abort(context, error)

    async def ListGlossaries(  # noqa: N802
        self, request: pb.ListGlossariesRequest, context: Context
    ) -> pb.ListGlossariesResponse:
        """Every glossary that calls may name."""
        del request, context
        glossaries = sorted(self._served.glossaries.items())
        return pb.ListGlossariesResponse(
            glossaries=[pb.Glossary(name=name, num_terms=len(terms)) for name, terms in glossaries]
        )

    async def Translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:  # noqa: N802
        """Translate every text of a call."""
        return await self._answered(self.answer, request, context)

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        """Tell how probable every translation of a call is."""
        return await self._answered(self.score, request, context)

    async def TranslateStream(  # type: ignore[override]  # noqa: N802 - it writes to the context itself
        self, request_iterator: AsyncIterator[pb.TranslateStreamRequest], context: Context
    ) -> None:
        """Translate any number of texts, as they come."""
        started, call = time.monotonic(), current_call.get()
        remaining = cast("float | None", context.time_remaining())
        deadline = None if remaining is None else started + remaining
        try:
            await self.stream(request_iterator, context.write, call, deadline, client_of(context))
        except RequestError as error:
            if not call.target_tokens:
                count_rejection(self._metrics, error)
            await abort(context, error)

    async def stream(
        self,
        messages: AsyncIterator[pb.TranslateStreamRequest],
        write: Write,
        call: Call,
        deadline: float | None = None,
        client: str = "",
    ) -> None:
        """Answer all texts of the messages, of which the first has the configuration.

        Args:
            write: Sends an answer.
            deadline: On the monotonic clock, in seconds.
            client: Who asks, as far as it is known.

        Raises:
            RequestError: the call ends with it, and what is not answered is given up.
        """
        first = await anext(messages)  # the interceptor has seen it
        config = config_of(first)
        if (tenant := current_tenant()) is not None:
            require_priority(config, tenant)
        parse, faults = await self._parser_of(config, deadline, client)
        self._require_valid(config, parse, faults)
        number = -next(self._num_streams)

        def parse_part(message: pb.TranslateRequest, models: Models) -> TranslationRequest:
            is_long = call.target_tokens * call.beam_size > BULK_WORK
            return _part_of(number, parse(message, models), is_bulk=is_long)

        async def answer(texts: Sequence[str]) -> pb.TranslateResponse:
            call.num_texts += len(texts)
            part = with_texts(config, texts)
            try:
                async with room_for_texts(len(texts)):
                    return await self._answer(part, call, time.monotonic(), deadline, parse_part)
            except RequestError:
                raise
            except Exception as error:
                log_fault(call, error)
                raise InternalError("a fault of the server; its log tells more") from error

        stream = TextStream(
            answer,
            write,
            in_order=first.in_order,
            max_parts=self._max_parts,
            max_texts=self._max_texts,
            max_bytes=self._max_message_bytes,
        )
        await stream.run(until_draining(first, messages, self._draining))
        require_not_draining(self._draining)

    def _require_valid(
        self, config: pb.TranslateRequest, parse: Parse, glossary_faults: Sequence[Violation]
    ) -> None:
        """Refuse a stream whose texts would all meet the same, before any of them is read."""
        message = with_texts(config, [""])
        try:
            if is_auto(message):
                require_detectable(message, self._max_texts, self._max_beam_size, glossary_faults)
            else:
                parse(message, self._served.current)
        except InvalidRequest as error:
            faults = [Violation(f"config.{v.field}", v.description) for v in error.violations]
            raise InvalidRequest(faults) from error

    async def _answered(
        self, answer: Answer[Request, Response], request: Request, context: Context
    ) -> Response:
        """What a call is answered with, within its deadline."""
        started = time.monotonic()
        remaining = cast("float | None", context.time_remaining())  # None without a deadline
        allowed = self._time_limit_seconds if remaining is None else remaining
        deadline = None if allowed is None else started + allowed
        try:
            return await answer(request, current_call.get(), started, deadline, client_of(context))
        except DeadlineExceeded as error:
            if remaining is None and allowed is not None:
                await abort(context, TimeLimitExceeded(allowed, was_queued=error.was_queued))
            await abort(context, error)
        except RequestError as error:
            await abort(context, error)

    async def answer(
        self,
        request: pb.TranslateRequest,
        call: Call,
        started: float,
        deadline: float | None,
        client: str = "",
    ) -> pb.TranslateResponse:
        """Translate, and write down what happens.

        Args:
            started, deadline: On the monotonic clock, in seconds.
            client: Who asks, as far as it is known.

        Raises:
            RequestError: there is no translation; it is counted already.
        """
        with self._counted(call, request):
            parse, faults = await self._parser_of(request, deadline, client)
            return await self._answer(request, call, started, deadline, parse, faults)

    async def _answer(
        self,
        request: pb.TranslateRequest,
        call: Call,
        started: float,
        deadline: float | None,
        parse: Parse,
        glossary_faults: Sequence[Violation] = (),
    ) -> pb.TranslateResponse:
        if is_auto(request):
            require_detectable(request, self._max_texts, self._max_beam_size, glossary_faults)
            return await self._answer_detected(request, call, started, deadline, parse)
        parsed = parse(request, self._served.current)
        return response_message(await self._translated(request, parsed, call, started))

    async def score(
        self, request: pb.ScoreRequest, call: Call, started: float, deadline: float | None, client: str
    ) -> pb.ScoreResponse:
        """Score, as `answer` translates."""
        with self._counted(call, request):
            require_pairs(request)
            parsed = self._parser(deadline, client)(translate_request(request), self._served.current)
            if parsed.then is not None:
                pair = quoted(f"{request.source_language}-{request.target_language}")
                raise NotServed("language_pair", pair, f"no model serves {pair} alone: it has no scores")
            record = CallRecord(call, self._metrics)
            record.accept(parsed, started)
            async with self._served.use(parsed.model, parsed.deadline):
                return score_message(await score(self._translator, parsed, request.translations, record))

    @contextmanager
    def _counted(self, call: Call, request: pb.TranslateRequest | pb.ScoreRequest) -> Iterator[None]:
        call.num_texts = len(request.texts)
        try:
            yield
        except RequestError as error:
            count_rejection(self._metrics, error)
            raise

    async def _parser_of(
        self, request: pb.TranslateRequest, deadline: float | None, client: str
    ) -> tuple[Parse, Sequence[Violation]]:
        """What reads a request with its glossaries, and what is wrong with these."""
        glossaries, faults = await self._glossaries.read(request, self._served.glossaries)
        return self._parser(deadline, client, glossaries, faults), faults

    def _parser(
        self,
        deadline: float | None,
        client: str,
        glossaries: Sequence[Glossary] = (),
        glossary_faults: Sequence[Violation] = (),
    ) -> Parse:
        return partial(
            parse_request,
            max_texts=self._max_texts,
            max_beam_size=self._max_beam_size,
            deadline=deadline,
            client=client,
            glossaries=glossaries,
            glossary_faults=glossary_faults,
        )

    async def _translated(
        self, request: pb.TranslateRequest, parsed: TranslationRequest, call: Call, started: float
    ) -> Translations:
        record = CallRecord(call, self._metrics)
        record.accept(parsed, started)

        def record_of(step: TranslationRequest) -> CallRecord:
            if step.then is not None or parsed.then is None:
                return record
            second = CallRecord(call, self._metrics)
            second.name(step)
            return second

        @asynccontextmanager
        async def ready(step: TranslationRequest) -> AsyncIterator[TranslationRequest]:
            async with self._served.use(step.model, step.deadline):
                yield step if step.then is not None else await constrained(step, request)

        async with self._together([parsed]):
            return await translate_through(self._translator, parsed, ready, record_of)

    @asynccontextmanager
    async def _together(self, requests: Sequence[TranslationRequest]) -> AsyncIterator[bool]:
        """Have all models of a call in memory before it begins; where they never fit, gives False."""
        steps = [step for request in requests for step in (request, request.then) if step is not None]
        fit = self._served.fit_together({step.model for step in steps})
        async with AsyncExitStack() as models:
            for step in steps if fit else ():
                await models.enter_async_context(self._served.use(step.model, step.deadline))
            yield fit

    async def _answer_detected(
        self, request: pb.TranslateRequest, call: Call, started: float, deadline: float | None, parse: Parse
    ) -> pb.TranslateResponse:
        """Find the language of each text, and translate those of each language side by side."""
        models, detector = self._served.current, self._detector

        def detected() -> tuple[list[Found], str]:
            candidates = models.sources(request.model, request.target_language, detector.labels)
            found = detector.detect(request.texts, format_of(request), candidates, deadline)
            return found, next(iter(candidates.values()))

        found, otherwise = await asyncio.to_thread(detected)
        parts = parts_of(request, found, otherwise)
        requests = [parse(part.message, models) for part in parts]
        async with self._together(requests) as fit:
            answers = await all_or_none(
                [
                    partial(self._translated, part.message, parsed, call, started)
                    for part, parsed in zip(parts, requests, strict=True)
                ],
                side_by_side=fit,
            )
        return joined_response(found, zip(parts, answers, strict=True), self._max_message_bytes)


def _part_of(number: int, request: TranslationRequest, *, is_bulk: bool) -> TranslationRequest:
    """Some of the texts of a stream, of which this is the number."""
    priority = Priority.BULK if is_bulk else request.priority
    then = None if request.then is None else _part_of(number, request.then, is_bulk=is_bulk)
    return replace(request, part_of=number, priority=priority, then=then)
