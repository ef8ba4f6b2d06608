"""Translates the places of a file with a server, some at a time, and notes each in a journal."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol, Unpack

import grpc

from server.files.formats import read_file
from server.files.journal import Journal, require_writable, write_whole
from server.files.text_file import FileError
from traghetto import (
    DeadlineExceeded,
    InvalidArgument,
    InvalidText,
    MessageTooLarge,
    Result,
    ServerBusy,
    ServerFault,
    TextError,
    TranslateOptions,
)
from traghetto.in_order import in_order

JOURNAL_SUFFIX = ".journal"
_PLACES_PER_CALL = 16
_CALLS_UNDER_WAY = 8
# What one text may have brought upon itself: others may fare better. Any other fault is that of all. A text
# of a file waits for a busy server instead: nobody waits for it.
OF_ONE_TEXT = (DeadlineExceeded, MessageTooLarge, ServerBusy, ServerFault)


class Translator(Protocol):
    """What translates: `traghetto.Client`, or another with this method of it, from any thread."""

    def translate(
        self,
        texts: Sequence[str],
        source_language: str,
        target_language: str,
        **options: Unpack[TranslateOptions],
    ) -> list[Result]:
        """As `traghetto.Client.translate`."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of one place.

    Args:
        number: Of the place, from 0.
        result: A translation, or why there is none.
    """

    number: int
    result: Result


class FileTranslation:
    """The translation of a file into another, which can be killed and gone on with.

    Args:
        source: The file; the end of its name tells its format.
        output: Where the translated file is put, whole, once every place was asked for. Beside it lies a
            journal, until every place is translated.
        languages: Of source and target.
        options: Of each call.

    Raises:
        FileError: the file is not what its name says, or of a format that is not known.
        OSError: it cannot be read, or the output not be written.
    """

    def __init__(
        self, source: Path, output: Path, languages: tuple[str, str], options: TranslateOptions
    ) -> None:
        self._file = read_file(source)
        self._places = self._file.places
        require_writable(output)
        self._output, self._languages, self._options = output, languages, options
        self._is_over = threading.Event()
        self.num_places = len(self._places)
        self.journal_path = output.with_name(output.name + JOURNAL_SUFFIX)

    def where(self, number: int) -> str:
        """Where a place is, for people."""
        return self._file.where(number)

    def run(self, client: Translator, tell_busy: Callable[[ServerBusy], None]) -> Iterator[Done]:
        """Translate what the journal does not have, and write the output; a place that fails stays as it is.

        Args:
            tell_busy: Is told, from any thread, each time that a text is refused for load and waits on.

        Raises:
            CallError: what every place would meet. The journal keeps what is done.
            OSError: the journal or the output cannot be written.
        """
        with Journal(self.journal_path, self._file.content, self._dependencies()) as journal:
            texts: list[str | None] = [journal.texts.get(i) for i in range(self.num_places)]
            missing = [i for i, text in enumerate(texts) if text is None]
            for number, result in self._results(client, missing, tell_busy):
                if not isinstance(result, TextError):
                    texts[number] = result.text
                    journal.add(number, result.text)
                yield Done(number=number, result=result)
            write_whole(self._output, self._file.filled(texts))
            if None not in texts:
                journal.remove()

    def _dependencies(self) -> Mapping[str, object]:
        """What a translation depends on beside the file."""
        cut = hashlib.sha256(repr([(place.format, place.text) for place in self._places]).encode())
        options = {name: repr(value) for name, value in self._options.items()}
        return {"languages": self._languages, "places": cut.hexdigest(), **options}

    def _results(
        self, client: Translator, numbers: Sequence[int], tell_busy: Callable[[ServerBusy], None]
    ) -> Iterator[tuple[int, Result]]:
        calls = self._calls(numbers)

        def translate(call: Sequence[int]) -> list[Result]:
            try:
                results = self._answer(client, call, tell_busy)
            except (InvalidText, InvalidArgument, *OF_ONE_TEXT) as error:
                if isinstance(error, InvalidArgument) and not _is_of_texts(error):
                    raise
                if len(call) > 1:  # it may be the fault of one
                    return [result for i in call for result in translate([i])]
                return [TextError(getattr(error, "code", grpc.StatusCode.INVALID_ARGUMENT), str(error))]
            return [self._checked(i, result) for i, result in zip(call, results, strict=True)]

        try:
            for call, results in zip(calls, in_order(translate, calls, _CALLS_UNDER_WAY), strict=True):
                yield from zip(call, results, strict=True)
        finally:
            self._is_over.set()

    def _answer(
        self, client: Translator, call: Sequence[int], tell_busy: Callable[[ServerBusy], None]
    ) -> list[Result]:
        """The results of a call; one text waits for a busy server as long as it takes.

        Raises:
            ServerBusy: there are several texts; one by one they are let in sooner. Or nobody wants them any
                more.
        """
        texts = [self._places[i].text for i in call]
        options: TranslateOptions = {**self._options, "format": self._places[call[0]].format}
        while True:
            try:
                return client.translate(texts, *self._languages, **options)
            except ServerBusy as error:
                if len(call) > 1:
                    raise
                tell_busy(error)
                if self._is_over.wait(error.retry_after_seconds):
                    raise

    def _calls(self, numbers: Sequence[int]) -> list[Sequence[int]]:
        """Some places each, of one format."""
        calls: list[Sequence[int]] = []
        for _, same in groupby(numbers, key=lambda i: self._places[i].format):
            group = list(same)
            calls += [group[i : i + _PLACES_PER_CALL] for i in range(0, len(group), _PLACES_PER_CALL)]
        return calls

    def _checked(self, number: int, result: Result) -> Result:
        """A translation that can be written in its place."""
        if isinstance(result, TextError):
            return result
        try:
            self._places[number].written(result.text)
        except FileError as error:
            return TextError(grpc.StatusCode.INTERNAL, str(error))
        return result


def _is_of_texts(error: InvalidArgument) -> bool:
    """Whether the texts broke a rule, and not what every call has."""
    return any(violation.field.startswith("texts") for violation in error.violations)
