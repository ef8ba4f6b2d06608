"""The texts of a TranslateStream: read as far as there is room, and translated some at a time.

What limits a stream are its parts: texts that are translated together, as a call of Translate would. A part
has left once its answer was taken by gRPC, which waits for a client that does not read; and while as many
parts are under way as may be, the next message is not read, so that the client's writing waits too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from server.api.status import to_status
from server.errors import InternalError, InvalidRequest, Violation
from traghetto.pb.translation.v1 import translation_pb2 as pb

Answer = Callable[[Sequence[str]], Awaitable[pb.TranslateResponse]]
Write = Callable[[pb.TranslateStreamResponse], Awaitable[None]]
# Of a part: what is cut and joined without leaving the event loop, and costs a task no more than a sentence.
MAX_PART_TEXTS = 32
MAX_PART_TOKENS = 1024
# A token in UTF-8: how many there are is known only once a text was cut.
_BYTES_PER_TOKEN = 4
# Faults of a part that another cut of the same texts may not have.
_OF_TEXTS = ("texts", "options.attention")


class TextStream:
    """Answers the texts of one call; of one event loop.

    Args:
        answer: Translates the texts of a part.
        write: Sends an answer; returns once there is room for another.
        in_order: Whether parts are answered in their order.
        max_parts: That are under way together.
        max_texts: Of one message.
        max_bytes: Of an answer.
    """

    def __init__(
        self,
        answer: Answer,
        write: Write,
        *,
        in_order: bool,
        max_parts: int,
        max_texts: int,
        max_bytes: int,
    ) -> None:
        self._answer, self._write, self._in_order = answer, write, in_order
        self._max_parts, self._max_texts, self._max_bytes = max_parts, max_texts, max_bytes
        self._waiting: deque[pb.StreamText] = deque()
        self._num_waiting_tokens = self._num_tokens = self._num_parts = 0
        self._has_room = asyncio.Event()
        self._writing = asyncio.Lock()
        self._last: asyncio.Task[None] | None = None

    async def run(self, messages: AsyncIterator[pb.TranslateStreamRequest]) -> None:
        """Answer all texts of the messages, of which the first has the configuration, read already.

        Raises:
            RequestError: the call ends with it, and what is not answered is given up.
        """
        try:
            async with asyncio.TaskGroup() as self._group:
                async for message in messages:
                    self._take(message)
                    self._begin()
                    await self._has_room.wait()
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def _take(self, message: pb.TranslateStreamRequest) -> None:
        if len(message.texts) > self._max_texts:
            fault = f"has {len(message.texts)} texts, must have at most {self._max_texts}"
            raise InvalidRequest([Violation("texts", fault)])
        self._waiting.extend(message.texts)
        self._num_waiting_tokens += sum(map(_num_tokens, message.texts))

    def _begin(self) -> None:
        """Begin with as many parts as there is room for, and say whether more is to be read."""
        most_tokens = self._max_parts * MAX_PART_TOKENS
        while self._waiting and self._num_parts < self._max_parts and self._num_tokens < most_tokens:
            part = self._next_part()
            before = self._last if self._in_order else None
            self._last = self._group.create_task(self._translate(part, before))
        is_part = len(self._waiting) >= MAX_PART_TEXTS or self._num_waiting_tokens >= MAX_PART_TOKENS
        (self._has_room.clear if is_part else self._has_room.set)()

    def _next_part(self) -> list[pb.StreamText]:
        """The next texts, of which a long one goes alone."""
        part: list[pb.StreamText] = []
        num_tokens = 0
        while self._waiting and len(part) < MAX_PART_TEXTS:
            num_tokens += _num_tokens(self._waiting[0])
            if part and num_tokens > MAX_PART_TOKENS:
                break
            part.append(self._waiting.popleft())
        num_tokens = sum(map(_num_tokens, part))
        self._num_waiting_tokens -= num_tokens
        self._num_tokens += num_tokens
        self._num_parts += 1
        return part

    async def _translate(self, part: Sequence[pb.StreamText], before: asyncio.Task[None] | None) -> None:
        messages = await self._answered(part)
        if before is not None:
            await asyncio.wait([before])
        async with self._writing:
            for message in messages:
                await self._write(message)
        self._num_tokens -= sum(map(_num_tokens, part))
        self._num_parts -= 1
        self._begin()

    async def _answered(self, part: Sequence[pb.StreamText]) -> list[pb.TranslateStreamResponse]:
        """The answers to a part: one, or where that may not be one for each text."""
        try:
            return [await self._answer_to(part)]
        except (InternalError, InvalidRequest) as error:
            if isinstance(error, InvalidRequest) and not _is_of_texts(error):
                raise
            if len(part) == 1:
                item = pb.TranslationItem(error=to_status(error))
                return [_message(part, pb.TranslateResponse(items=[item]))]
        return [message for text in part for message in await self._answered([text])]

    async def _answer_to(self, part: Sequence[pb.StreamText]) -> pb.TranslateStreamResponse:
        message = _message(part, await self._answer([text.text for text in part]))
        if (num_bytes := message.ByteSize()) > self._max_bytes:
            fault = f"make an answer of {num_bytes} bytes, the limit is {self._max_bytes}"
            raise InvalidRequest([Violation("texts", fault)])
        return message


def _is_of_texts(error: InvalidRequest) -> bool:
    return all(violation.field.startswith(_OF_TEXTS) for violation in error.violations)


def _message(part: Sequence[pb.StreamText], response: pb.TranslateResponse) -> pb.TranslateStreamResponse:
    return pb.TranslateStreamResponse(ids=[text.id for text in part], response=response)


def _num_tokens(text: pb.StreamText) -> int:
    """About how many; at least 1."""
    return len(text.text.encode()) // _BYTES_PER_TOKEN + 1
