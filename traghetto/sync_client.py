"""The client for plain Python: a thin shell around `traghetto.calls`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import grpc

from traghetto.calls import Caller, Steps, Try, Wait
from traghetto.failures import Failure, failure_of
from traghetto.in_order import in_order
from traghetto.options import TranslateOptions
from traghetto.requests import CallCutter, RequestTemplate, calls_of, checked_texts, score_requests
from traghetto.results import ModelDescription, Result, Score, ServedLanguagePair, TextError
from traghetto.streams import Sender, Unreadable, unanswered_of
from traghetto.stub import stub_of
from traghetto.target import channel_options
from traghetto.tls import Tls, channel_credentials
from traghetto.token import Token, TokenSource, require_private

T = TypeVar("T")


class Client:
    """A connection to a server, for use in a `with` block and from any thread.

    A call that the queue has no room for, or that is lost with a server, is tried again within its
    deadline, as `traghetto.retries` says.

    Args:
        address: HOST:PORT, or another gRPC target; calls go in turn to all servers that it names, as
            `dns:///HOST:PORT` or `ipv4:HOST:PORT,HOST:PORT` may.
        timeout_seconds: Deadline of each call, all its tries and waits included.
        tls: How to reach a server with TLS; None is plain text.
        keepalive_seconds: Silence during a call after which the server is asked for a sign of life, and after
            20 s without one the call is tried elsewhere; None for never. Not every server lets itself be
            asked often.
        max_message_mib: Largest request and answer of a call, in MiB; a server has a limit of its own.
        token: For a server that asks who calls: the text, or a function that gives it, which is asked again
            once in a call whose token is refused.
        allow_plaintext_token: Whether it may be sent without TLS to another machine.

    Raises:
        TlsError: the files of `tls` cannot serve.
        TokenError: the token is none, or would cross a network in plain text.
        ValueError: `timeout_seconds` is no finite number above 0, or another number is out of its limits.

    >>> with Client(address) as client:
    ...     [result] = client.translate(["The cat is on the table."], "en", "it")
    >>> result.text
    'Il gatto è sul tavolo.'
    """

    def __init__(
        self,
        address: str,
        timeout_seconds: float = 60.0,
        tls: Tls | None = None,
        *,
        keepalive_seconds: float | None = None,
        max_message_mib: int = 4,
        token: Token | None = None,
        allow_plaintext_token: bool = False,
    ) -> None:
        require_private(address, token, has_tls=tls is not None, is_allowed=allow_plaintext_token)
        self._token = TokenSource(token)
        self._caller = Caller.to(address, timeout_seconds, tls, can_renew_token=self._token.can_renew)
        self._is_closed = threading.Event()
        options = channel_options(address, keepalive_seconds, max_message_mib)
        if tls is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, channel_credentials(tls), options)
        self._stub = stub_of(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and calls under way with it, those too that wait for another try."""
        self._is_closed.set()
        self._channel.close()

    def translate(
        self,
        texts: Iterable[str],
        source_language: str,
        target_language: str,
        **options: Unpack[TranslateOptions],
    ) -> list[Result]:
        """Translate texts; options left out take the server's defaults.

        More texts than one call takes, 1,024, become several calls within the one deadline.

        Args:
            texts: Several; for a single one write `[text]`.
            source_language, target_language: BCP-47 tags, such as "en"; "auto" lets the server find the
                source language of each text.
            **options: See `TranslateOptions`.

        Returns:
            A translation or an error for each text, in order.

        Raises:
            CallError: a call failed as a whole.
            InvalidText: a text holds half of a surrogate pair.
            TypeError: `texts` is a str, or an option has another type than its field.
            ValueError: a number does not fit in its field of the contract, or prefixes are not one for each
                text.

        >>> from traghetto import TextError
        >>> texts = ["The cat is on the table.", "word " * 1000]
        >>> for result in client.translate(texts, "en", "it", segmentation="none"):
        ...     print(result.message if isinstance(result, TextError) else result.text)
        Il gatto è sul tavolo.
        the text has 1002 tokens, the limit is 256
        """
        template = RequestTemplate(source_language, target_language, **options)
        checked = list(checked_texts(texts))
        template.check_prefixes(len(checked))
        return self._run(self._caller.translate(template, checked))

    def translate_many(
        self,
        texts: Iterable[str],
        source_language: str,
        target_language: str,
        *,
        texts_per_call: int = 16,
        concurrency: int = 8,
        **options: Unpack[TranslateOptions],
    ) -> Iterator[Result]:
        """Translate any number of texts, and give each result as soon as those before it are there.

        Texts are read as they are needed: `texts_per_call` times `concurrency` ahead of the results, at most.

        Args:
            texts: A file's lines, for example.
            source_language, target_language: BCP-47 tags, such as "en"; "auto" lets the server find the
                source language of each text.
            texts_per_call: Texts sent together; with 1 no text waits for those behind it to be read.
            concurrency: Calls under way, at most. Each has a deadline of its own.
            **options: See `TranslateOptions`.

        Returns:
            A translation or an error for each text, in order.

        Raises:
            CallError: a call failed as a whole; raised in the place of its first result.
            InvalidText: a text holds half of a surrogate pair; raised in its place.
            TypeError: `texts` is a str, or an option has another type than its field.
            ValueError: a number does not fit in its field of the contract.

        >>> for result in client.translate_many(iter(["One.", "Two."]), "en", "it"):
        ...     print(result.text)
        Uno.
        Due.
        """
        template = RequestTemplate(source_language, target_language, **options)
        template.check_prefixes(None)

        def translate(call: list[str]) -> list[Result]:
            return self._run(self._caller.translate(template, call))

        calls = calls_of(checked_texts(texts), CallCutter(texts_per_call))
        return chain.from_iterable(in_order(translate, calls, concurrency))

    def translate_stream(
        self,
        texts: Iterable[str],
        source_language: str,
        target_language: str,
        *,
        in_order: bool = False,
        texts_per_message: int = 16,
        **options: Unpack[TranslateOptions],
    ) -> Iterator[tuple[int, Result]]:
        """Translate any number of texts in one call of the server, and give each result as it comes.

        Texts are read as they are needed: 2,048 of them, or a MiB, are without an answer at most. A stream
        that is cut off goes on by itself with those, on this server or the next; it gives up once there was
        no answer for `timeout_seconds` while it could not go on. The server takes it as bulk, unless
        `priority` says otherwise, and lets it wait rather than refuse it.

        Args:
            texts: A file's lines, for example.
            source_language, target_language: BCP-47 tags, such as "en"; "auto" lets the server find the
                source language of each text.
            in_order: Whether results come in the order of the texts.
            texts_per_message: Texts sent together; with 1 no text waits for those behind it to be read.
            **options: See `TranslateOptions`.

        Returns:
            For each text its place, from 0, and a translation or an error; each once.

        Raises:
            CallError: the call failed as a whole, and would again.
            InvalidText: a text holds half of a surrogate pair; raised behind the results of those before it.
            TypeError: `texts` is a str, or an option has another type than its field.
            ValueError: a number does not fit in its field of the contract, or in its limits.

        >>> for index, result in client.translate_stream(iter(["One.", "Two."]), "en", "it", in_order=True):
        ...     print(index, result.text)
        0 Uno.
        1 Due.
        """
        unanswered = unanswered_of(
            RequestTemplate(source_language, target_language, **options),
            in_order=in_order,
            texts_per_message=texts_per_message,
        )
        return self._stream(Sender(checked_texts(texts), unanswered))

    def _stream(self, sender: Sender) -> Iterator[tuple[int, Result]]:
        outage, call = self._caller.outage(), None
        try:
            while True:
                failure: Failure | None = None
                try:
                    call = self._stub.TranslateStream(sender.messages())
                    for message in call:
                        self._caller.answered()
                        outage = self._caller.outage()
                        yield from sender.take(message)
                except Unreadable as unreadable:
                    failure = unreadable.failure
                except grpc.RpcError as error:
                    failure = failure_of(error.code(), error.details(), error.trailing_metadata() or ())
                failure = failure or sender.unfinished()
                if failure is None:
                    return
                self._is_closed.wait(self._caller.wait_to_resume(outage, failure))
        finally:
            sender.stop()
            if call is not None:
                call.cancel()

    def score(
        self,
        texts: Iterable[str],
        translations: Iterable[str],
        source_language: str,
        target_language: str,
        *,
        model: str = "",
        priority: Literal["interactive", "bulk"] | None = None,
    ) -> list[Score | TextError]:
        """Tell how probable a translation of each text is to a model, whoever made it.

        Args:
            texts: Each is one sequence; it is not cut.
            translations: One for each text.
            source_language, target_language: BCP-47 tags, such as "en".
            model: A model's name; empty for the server's choice for the language pair.
            priority: As of `translate`.

        Returns:
            A score or an error for each text, in order.

        Raises:
            CallError: a call failed as a whole.
            InvalidText: a text or a translation holds half of a surrogate pair.
            TypeError: either of both is a str.
            ValueError: there are not as many translations as texts.

        >>> good, bad = client.score(["The cat."] * 2, ["Il gatto.", "Il treno."], "en", "it")
        >>> good.log_prob > bad.log_prob
        True
        """
        requests = score_requests(
            texts, translations, source_language, target_language, model=model, priority=priority
        )
        return self._run(self._caller.score(list(requests)))

    def models(self) -> list[ModelDescription]:
        """What the server serves, ordered by name.

        Raises:
            CallError: the call failed.

        >>> [model.name for model in client.models()]
        ['en-it']
        """
        return self._run(self._caller.models())

    def language_pairs(
        self, source_language: str = "", target_language: str = ""
    ) -> list[ServedLanguagePair]:
        """The language pairs that the server offers, each with its models, the default first.

        Args:
            source_language, target_language: Only pairs of these; empty for any.

        Raises:
            CallError: the call failed; `InvalidArgument` where there are too many pairs for a message.

        >>> [(pair.target_language, pair.models) for pair in client.language_pairs("en")]
        [('it', ('en-it',))]
        """
        return self._run(self._caller.language_pairs(source_language, target_language))

    def glossaries(self) -> dict[str, int]:
        """Names of the server's glossaries, which `glossary_names` takes, and how many terms each has.

        Raises:
            CallError: the call failed.
        """
        return self._run(self._caller.glossaries())

    def _run(self, steps: Steps[T]) -> T:
        """Carry out the steps of a call."""
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            match step:
                case Try():
                    outcome = self._send(step)
                case Wait():
                    self._is_closed.wait(step.seconds)

    def _send(self, step: Try) -> Any:
        metadata = self._token.metadata(renew=step.renew_token)
        try:
            method = getattr(self._stub, step.method)
            answer = method(step.request, timeout=step.timeout_seconds, metadata=metadata)
        except grpc.RpcError as error:
            return failure_of(error.code(), error.details(), error.trailing_metadata() or ())
        if answer is None:  # so gRPC gives an answer whose bytes were damaged
            return failure_of(grpc.StatusCode.INTERNAL, "the answer cannot be read", ())
        return answer
