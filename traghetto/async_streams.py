"""What sends the texts of a stream in an event loop: `traghetto.streams` for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from traghetto.failures import Failure
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import checked_text, checked_texts
from traghetto.results import Result
from traghetto.streams import Unanswered


async def asynchronous(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    """Texts that can be sent, each checked as it is read.

    Raises:
        TypeError, InvalidText: a text cannot.
    """
    if isinstance(texts, AsyncIterable):
        index = 0
        async for text in texts:
            yield checked_text(text, index)
            index += 1
    else:
        for text in checked_texts(texts):
            yield text


class AsyncSender:
    """Reads texts as far as there is room, for the task of gRPC that sends them; one try after the other."""

    def __init__(self, texts: AsyncIterator[str], unanswered: Unanswered) -> None:
        self._texts, self._unanswered = texts, unanswered
        self._changed, self._reading = asyncio.Condition(), asyncio.Lock()
        self._try = 0
        self._fault: Exception | None = None  # of the texts

    async def messages(self) -> AsyncIterator[pb.TranslateStreamRequest]:
        """All that is to be sent in a new try, which ends those before it."""
        await self.stop()
        self._unanswered.restart()
        return self._messages(self._try)

    async def stop(self) -> None:
        """Send nothing more."""
        async with self._changed:
            self._try += 1
            self._changed.notify_all()

    async def take(self, message: pb.TranslateStreamResponse | Failure) -> list[tuple[int, Result]]:
        """The results in an answer, which makes room."""
        async with self._changed:
            taken = self._unanswered.take(message)
            self._changed.notify_all()
        return taken

    def unfinished(self) -> Failure | None:
        """What is wrong with a call that ended well; None if all is answered.

        Raises:
            Exception: what the texts raised.
        """
        if self._fault is not None:
            raise self._fault
        return self._unanswered.unfinished()

    async def _messages(self, number: int) -> AsyncIterator[pb.TranslateStreamRequest]:
        unanswered = self._unanswered
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: (
                        number != self._try
                        or unanswered.has_message
                        or unanswered.is_all_sent
                        or unanswered.wants_text
                    )
                )
                if number != self._try or unanswered.is_all_sent:
                    return
                message = unanswered.next_message() if unanswered.has_message else None
            if message is None:
                await self._read()
            else:
                yield message

    async def _read(self) -> None:
        """Add a text, unless another try has done so meanwhile."""
        async with self._reading:
            if not self._unanswered.wants_text:
                return
            text = None
            try:
                text = await anext(self._texts, None)
            except Exception as error:  # noqa: BLE001 - for whoever reads the results
                self._fault = error
            async with self._changed:
                if text is None:
                    self._unanswered.is_read_out = True
                else:
                    self._unanswered.add(text)
                self._changed.notify_all()
