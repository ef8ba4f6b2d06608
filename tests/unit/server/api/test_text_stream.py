"""How a stream's texts become parts, without a model: what is read, what is under way, what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import pytest

from server.api.text_stream import MAX_PART_TEXTS, TextStream
from server.errors import InternalError, InvalidRequest, NotServed, Violation
from traghetto.pb.translation.v1 import translation_pb2 as pb

Answer = Callable[[Sequence[str]], Awaitable[pb.TranslateResponse]]
LIMITS = {"max_parts": 4, "max_texts": 1000, "max_bytes": 4096}


def message(ids: Iterable[int], text: str = "text {}") -> pb.TranslateStreamRequest:
    return pb.TranslateStreamRequest(texts=[pb.StreamText(id=i, text=text.format(i)) for i in ids])


def echoed(texts: Sequence[str]) -> pb.TranslateResponse:
    return pb.TranslateResponse(
        items=[pb.TranslationItem(translation=pb.Translation(text=text)) for text in texts]
    )


class Peer:
    """A client that sends messages and takes what comes."""

    def __init__(self, *messages: pb.TranslateStreamRequest) -> None:
        self.messages, self.num_read = messages, 0
        self.answers: list[pb.TranslateStreamResponse] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self) -> AsyncIterator[pb.TranslateStreamRequest]:
        for each in self.messages:
            self.num_read += 1
            yield each
            await asyncio.sleep(0)

    async def take(self, answer: pb.TranslateStreamResponse) -> None:
        await self.reads.wait()
        self.answers.append(answer)

    @property
    def ids(self) -> list[int]:
        return [i for answer in self.answers for i in answer.ids]

    async def talk(self, answer: Answer, *, in_order: bool = False) -> None:
        await TextStream(answer, self.take, in_order=in_order, **LIMITS).run(self.send())


async def echo(texts: Sequence[str]) -> pb.TranslateResponse:
    return echoed(texts)


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def test_each_text_is_answered_once_with_its_id() -> None:
    peer = Peer(message(range(100)), message(range(100, 103)), message([]))
    asyncio.run(peer.talk(echo))
    assert sorted(peer.ids) == list(range(103))
    for answer in peer.answers:
        texts = [item.translation.text for item in answer.response.items]
        assert texts == [f"text {i}" for i in answer.ids]


def test_texts_that_come_one_by_one_are_translated_together_once_all_parts_are_under_way() -> None:
    sizes: list[int] = []
    is_let_go = asyncio.Event()

    async def slow(texts: Sequence[str]) -> pb.TranslateResponse:
        sizes.append(len(texts))
        await is_let_go.wait()
        return echoed(texts)

    async def run() -> None:
        peer = Peer(*(message([i]) for i in range(4 + MAX_PART_TEXTS + 50)))
        talk = asyncio.ensure_future(peer.talk(slow))
        await settle()
        assert sizes == [1] * 4
        assert peer.num_read == 4 + MAX_PART_TEXTS  # and no further
        is_let_go.set()
        await talk
        assert sizes[4] == MAX_PART_TEXTS
        assert sorted(peer.ids) == list(range(4 + MAX_PART_TEXTS + 50))

    asyncio.run(run())


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    async def run() -> None:
        peer = Peer(*(message(range(i, i + 10)) for i in range(0, 10_000, 10)))
        peer.reads.clear()
        talk = asyncio.ensure_future(peer.talk(echo))
        await settle()
        assert peer.num_read < 20
        peer.reads.set()
        await talk
        assert sorted(peer.ids) == list(range(10_000))

    asyncio.run(run())


def test_long_texts_count_by_their_tokens() -> None:
    sizes: list[int] = []

    async def count(texts: Sequence[str]) -> pb.TranslateResponse:
        sizes.append(sum(map(len, texts)))
        return pb.TranslateResponse(items=[pb.TranslationItem() for _ in texts])

    asyncio.run(Peer(message(range(20), text="a" * 3000)).talk(count))
    assert sizes == [3000] * 20


@pytest.mark.parametrize("in_order", [True, False])
def test_parts_that_end_early_wait_where_order_is_asked_for(*, in_order: bool) -> None:
    async def run() -> None:
        is_first = asyncio.Event()

        async def first_last(texts: Sequence[str]) -> pb.TranslateResponse:
            if "text 0" in texts:
                await is_first.wait()
            return echoed(texts)

        peer = Peer(message(range(3 * MAX_PART_TEXTS)))
        talk = asyncio.ensure_future(peer.talk(first_last, in_order=in_order))
        await settle()
        assert len(peer.ids) == (0 if in_order else 2 * MAX_PART_TEXTS)
        is_first.set()
        await talk
        assert (peer.ids == list(range(3 * MAX_PART_TEXTS))) is in_order

    asyncio.run(run())


@pytest.mark.parametrize(
    "error", [InvalidRequest([Violation("texts", "are too many")]), InternalError("a fault of the server")]
)
def test_a_fault_of_one_text_is_its_item_alone(error: Exception) -> None:
    async def choosy(texts: Sequence[str]) -> pb.TranslateResponse:
        if "text 7" in texts:
            raise error
        return echoed(texts)

    peer = Peer(message(range(20)))
    asyncio.run(peer.talk(choosy))
    items = {
        i: item for answer in peer.answers for i, item in zip(answer.ids, answer.response.items, strict=True)
    }
    assert sorted(items) == list(range(20))
    assert {i for i, item in items.items() if item.HasField("error")} == {7}


def test_an_answer_larger_than_a_message_is_an_error_of_its_text() -> None:
    async def wordy(texts: Sequence[str]) -> pb.TranslateResponse:
        return echoed(["x" * 5000 if text == "text 1" else text for text in texts])

    peer = Peer(message(range(3)))
    asyncio.run(peer.talk(wordy))
    (large,) = (answer for answer in peer.answers if answer.ids == [1])
    assert "the limit is 4096" in large.response.items[0].error.message


@pytest.mark.parametrize(
    "error",
    [InvalidRequest([Violation("target_prefixes[0]", "is long")]), NotServed("model", "x", "no model")],
)
def test_what_all_texts_would_meet_ends_the_call(error: Exception) -> None:
    async def refuse(texts: Sequence[str]) -> pb.TranslateResponse:
        raise error

    with pytest.raises(type(error)):
        asyncio.run(Peer(message(range(5)), message(range(5, 9))).talk(refuse))


def test_a_message_of_too_many_texts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="has 1001 texts, must have at most 1000"):
        asyncio.run(Peer(message(range(1001))).talk(echo))
