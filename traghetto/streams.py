"""Texts that are sent and not answered yet: what a stream holds, and sends again where it was cut off."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

import grpc

from traghetto.failures import Failure
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import MAX_BYTES, MAX_TEXTS, RequestTemplate
from traghetto.responses import results_of
from traghetto.results import Result

# Texts without an answer, at most: more than a server has under way for a stream, so that it never waits.
WINDOW_TEXTS = 2 * MAX_TEXTS


class Unanswered:
    """The texts of a stream between their reading and their answers; of one thread, or under a lock.

    >>> unanswered = Unanswered(config=pb.TranslateStreamRequest(), texts_per_message=2)
    >>> for text in ("a", "b", "c"):
    ...     unanswered.add(text)
    >>> [text.id for text in unanswered.next_message().texts]
    [0, 1]
    >>> response = pb.TranslateResponse(items=[pb.TranslationItem()])
    >>> answer = pb.TranslateStreamResponse(ids=[1], response=response)
    >>> [index for index, _ in unanswered.take(answer)]
    [1]
    >>> unanswered.restart()  # the connection broke
    >>> unanswered.next_message() == unanswered.config
    True
    >>> [text.id for text in unanswered.next_message().texts]
    [0, 2]

    Args:
        config: The first message of each try.
        texts_per_message: That are sent together, at most.
    """

    def __init__(self, config: pb.TranslateStreamRequest, texts_per_message: int) -> None:
        self.config, self._texts_per_message = config, texts_per_message
        self._texts: dict[int, str] = {}
        self._to_send: deque[int] = deque()
        self._is_begun, self._num_read, self._num_bytes = True, 0, 0
        self.is_read_out = False  # no text comes behind those that were added

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def has_room(self) -> bool:
        """Whether a further text may be added."""
        return len(self._texts) < WINDOW_TEXTS and (not self._texts or self._num_bytes < MAX_BYTES)

    @property
    def has_message(self) -> bool:
        """Whether there is something to send that is not to wait for more texts."""
        if not self._is_begun or len(self._to_send) >= self._texts_per_message:
            return True
        return bool(self._to_send) and (self.is_read_out or not self.has_room)

    @property
    def is_all_sent(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.is_read_out and self._is_begun and not self._to_send

    @property
    def wants_text(self) -> bool:
        """Whether a text is to be read now."""
        return self.has_room and not (self.is_read_out or self.has_message)

    def unfinished(self) -> Failure | None:
        """What is wrong with a call that ended well; None if all is answered."""
        if self.is_all_sent and not self._texts:
            return None
        message = f"the server ended the stream with {len(self._texts)} texts unanswered"
        return Failure(code=grpc.StatusCode.INTERNAL, message=message)

    def restart(self) -> None:
        """Send all that is not answered in a new try, behind its configuration."""
        self._is_begun, self._to_send = False, deque(self._texts)

    def add(self, text: str) -> None:
        """Note a text that was read."""
        self._texts[self._num_read] = text
        self._to_send.append(self._num_read)
        self._num_read += 1
        self._num_bytes += len(text.encode())

    def next_message(self) -> pb.TranslateStreamRequest:
        """What is to be sent next."""
        if not self._is_begun:
            self._is_begun = True
            return self.config
        message, num_bytes = pb.TranslateStreamRequest(), 0
        while self._to_send and len(message.texts) < self._texts_per_message and num_bytes < MAX_BYTES:
            number = self._to_send.popleft()
            if (text := self._texts.get(number)) is not None:
                message.texts.add(id=number, text=text)
                num_bytes += len(text.encode())
        return message

    def take(self, message: pb.TranslateStreamResponse | Failure) -> list[tuple[int, Result]]:
        """The results in an answer, each with its text's place; of a text that has one already none.

        Raises:
            Unreadable: the message did not parse.
        """
        if isinstance(message, Failure):
            raise Unreadable(message)
        taken = []
        for index, result in zip(message.ids, results_of(message.response), strict=True):
            if (text := self._texts.pop(index, None)) is not None:
                self._num_bytes -= len(text.encode())
                taken.append((index, result))
        return taken


class Unreadable(Exception):
    """An answer that did not parse."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def unanswered_of(template: RequestTemplate, *, in_order: bool, texts_per_message: int) -> Unanswered:
    """Of a stream that begins.

    Raises:
        TypeError: there is not one prefix for all texts.
        ValueError: `texts_per_message` is not from 1 to 1,024.
    """
    template.check_prefixes(None)
    if not 1 <= texts_per_message <= MAX_TEXTS:
        raise ValueError(f"texts_per_message is {texts_per_message}, must be from 1 to {MAX_TEXTS}")
    config = pb.TranslateStreamRequest(config=template.with_texts([]), in_order=in_order)
    return Unanswered(config, texts_per_message)


class Sender:
    """Reads texts as far as there is room, for the thread of gRPC that sends them; one try after the other.

    Args:
        texts: Read by one thread at a time.
    """

    def __init__(self, texts: Iterable[str], unanswered: Unanswered) -> None:
        self._texts, self._unanswered = iter(texts), unanswered
        self._changed, self._reading = threading.Condition(), threading.Lock()
        self._try = 0
        self._fault: Exception | None = None  # of the texts

    def messages(self) -> Iterator[pb.TranslateStreamRequest]:
        """All that is to be sent in a new try, which ends those before it."""
        with self._changed:
            self._try += 1
            self._unanswered.restart()
            self._changed.notify_all()
        return self._messages(self._try)

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._try += 1
            self._changed.notify_all()

    def take(self, message: pb.TranslateStreamResponse | Failure) -> list[tuple[int, Result]]:
        """The results in an answer, which makes room."""
        with self._changed:
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

    def _messages(self, number: int) -> Iterator[pb.TranslateStreamRequest]:
        unanswered = self._unanswered
        while True:
            with self._changed:
                self._changed.wait_for(
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
                self._read()
            else:
                yield message

    def _read(self) -> None:
        """Add a text, unless the thread of another try has done so meanwhile."""
        with self._reading:
            with self._changed:
                if not self._unanswered.wants_text:
                    return
            text = None
            try:
                text = next(self._texts, None)
            except Exception as error:  # noqa: BLE001 - for whoever reads the results
                self._fault = error
            with self._changed:
                if text is None:
                    self._unanswered.is_read_out = True
                else:
                    self._unanswered.add(text)
                self._changed.notify_all()
