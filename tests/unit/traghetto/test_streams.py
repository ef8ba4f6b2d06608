"""Both clients' streams against servers that misbehave: what is sent again, and that nothing comes twice."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import pytest

from tests.unit.traghetto.misbehaving import Context, Service, echo, refuse, serving
from traghetto import AsyncClient, Client, InvalidArgument, InvalidText, Result, ServerFault, Translation
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.streams import WINDOW_TEXTS

PATIENCE_SECONDS = 60.0
Streamed = list[tuple[int, Result]]
Stream = Callable[..., Streamed]


class Streaming(Service):
    """Answers each stream for so many texts, and then refuses it; the last one to its end."""

    def __init__(self, *ends: int, is_backwards: bool = False) -> None:
        super().__init__(echo)
        self._ends, self._is_backwards = iter(ends), is_backwards
        self.received: list[list[int]] = []  # of each call
        self.configs: list[pb.TranslateRequest] = []

    def TranslateStream(  # noqa: N802
        self, request_iterator: Iterator[pb.TranslateStreamRequest], context: Context
    ) -> Iterator[pb.TranslateStreamResponse]:
        """As the contract has it."""
        left = next(self._ends, None)
        ids: list[int] = []
        self.received.append(ids)
        for number, message in enumerate(request_iterator):
            assert message.HasField("config") == (number == 0)
            if number == 0:
                self.configs.append(message.config)
            texts = list(message.texts)[:: -1 if self._is_backwards else 1]
            ids += [text.id for text in message.texts]
            for text in texts:
                if left == 0:
                    refuse(context, grpc.StatusCode.UNAVAILABLE, "the server is stopping")
                left = None if left is None else left - 1
                items = echo(pb.TranslateRequest(texts=[text.text]), context)
                yield pb.TranslateStreamResponse(ids=[text.id], response=items)


def with_client(address: str, texts: Any, **how: Any) -> Streamed:
    with Client(address, PATIENCE_SECONDS) as client:
        return list(client.translate_stream(texts, "en", "it", **how))


def with_async_client(address: str, texts: Any, **how: Any) -> Streamed:
    async def run() -> Streamed:
        async with AsyncClient(address, PATIENCE_SECONDS) as client:
            return [result async for result in client.translate_stream(texts, "en", "it", **how)]

    return asyncio.run(run())


@pytest.fixture(params=[with_client, with_async_client], ids=["Client", "AsyncClient"])
def stream(request: pytest.FixtureRequest) -> Stream:
    chosen: Stream = request.param
    return chosen


def texts_of(results: Streamed) -> list[str]:
    assert all(isinstance(result, Translation) for _, result in results)
    return [result.text for _, result in results if isinstance(result, Translation)]


def test_a_stream_that_is_cut_goes_on_behind_what_was_answered(stream: Stream) -> None:
    service, texts = Streaming(100, 0, 250), [str(i) for i in range(1000)]
    with serving(service) as address:
        results = stream(address, iter(texts), in_order=True, texts_per_message=7)
    assert texts_of(results) == texts
    assert [index for index, _ in results] == list(range(1000))
    assert [ids[0] for ids in service.received] == [0, 100, 100, 350]
    assert len({config.SerializeToString() for config in service.configs}) == 1


def test_results_come_as_they_are_answered_each_with_its_place(stream: Stream) -> None:
    with serving(Streaming(33, is_backwards=True)) as address:
        results = stream(address, [str(i) for i in range(100)], texts_per_message=10)
    assert texts_of(sorted(results, key=lambda item: item[0])) == [str(i) for i in range(100)]
    assert results[0][0] == 9


def test_what_all_texts_would_meet_is_raised(stream: Stream) -> None:
    class Refusing(Streaming):
        def TranslateStream(self, request_iterator: Any, context: Context) -> Any:  # noqa: N802
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "config.source_language: is 'x'")

    with serving(Refusing()) as address, pytest.raises(InvalidArgument, match="source_language"):
        stream(address, ["Yes."])


def test_a_server_that_forgets_texts_is_at_fault(stream: Stream) -> None:
    class Forgetful(Streaming):
        def TranslateStream(self, request_iterator: Any, context: Context) -> Any:  # noqa: N802
            yield from itertools.islice(super().TranslateStream(request_iterator, context), 3)

    with serving(Forgetful()) as address, pytest.raises(ServerFault, match="unanswered"):
        stream(address, ["Yes."] * 5)


def test_a_text_that_cannot_be_sent_is_raised_behind_those_before_it(stream: Stream) -> None:
    service = Streaming()
    with serving(service) as address:
        with pytest.raises(InvalidText, match=r"texts\[2\]"):
            stream(address, ["Yes.", "No.", "\ud800", "Never."])
        assert service.received == [[0, 1]]
        with pytest.raises(TypeError, match="texts is a str"):
            stream(address, "Yes.")


@pytest.mark.parametrize("size", [0, 1025])
def test_messages_of_no_size_are_refused(stream: Stream, size: int) -> None:
    with pytest.raises(ValueError, match="texts_per_message"):
        stream("127.0.0.1:1", ["Yes."], texts_per_message=size)


def test_texts_are_read_no_further_than_the_window_while_nobody_is_answered() -> None:
    is_full, num_read = threading.Event(), 0

    class Silent(Streaming):
        def TranslateStream(self, request_iterator: Any, context: Context) -> Any:  # noqa: N802
            num_texts = 0
            for message in request_iterator:
                num_texts += len(message.texts)
                if num_texts == WINDOW_TEXTS:
                    is_full.set()
                    break
            yield from ()
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "enough")

    def texts() -> Iterable[str]:
        nonlocal num_read
        for i in itertools.count():
            num_read += 1
            yield str(i)

    with serving(Silent()) as address, pytest.raises(InvalidArgument):
        with_client(address, texts())
    assert is_full.is_set()
    assert num_read == WINDOW_TEXTS


def test_who_stops_reading_ends_the_call(stream: Stream) -> None:
    del stream
    with serving(Streaming()) as address, Client(address, PATIENCE_SECONDS) as client:
        results = client.translate_stream((str(i) for i in itertools.count()), "en", "it")
        assert [index for index, _ in itertools.islice(results, 3)] == [0, 1, 2]
        results.close()  # type: ignore[attr-defined]
