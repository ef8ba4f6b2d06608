"""Texts and options as requests of the contract, cut to what one call takes; knows no network."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar, Unpack

from traghetto.errors import InvalidText
from traghetto.options import ContrastiveSearch, GlossaryTerm, Sampling, TranslateOptions
from traghetto.pb.translation.v1 import translation_pb2 as pb

MAX_TEXTS = 1024  # of one call, unless its server is configured otherwise
MAX_BYTES = 1 << 20  # of the texts of one call: the answer, which has each twice, has room in 4 MiB
_PRIORITIES = {
    None: pb.PRIORITY_UNSPECIFIED,
    "interactive": pb.PRIORITY_INTERACTIVE,
    "bulk": pb.PRIORITY_BULK,
}
_FORMATS = {
    None: pb.TEXT_FORMAT_UNSPECIFIED,
    "plain": pb.TEXT_FORMAT_PLAIN,
    "html": pb.TEXT_FORMAT_HTML,
    "xml": pb.TEXT_FORMAT_XML,
    "markdown": pb.TEXT_FORMAT_MARKDOWN,
}
_SEGMENTATIONS = {
    None: pb.SEGMENTATION_UNSPECIFIED,
    "sentences": pb.SEGMENTATION_SENTENCES,
    "lines": pb.SEGMENTATION_LINES,
    "none": pb.SEGMENTATION_NONE,
}
_Value = TypeVar("_Value")
_SURROGATE = re.compile("[\ud800-\udfff]")


def checked_text(text: object, index: int) -> str:
    """A text that can be sent.

    Args:
        index: Place of the text, for the errors' messages.

    Raises:
        TypeError: it is no str.
        InvalidText: it holds half of a surrogate pair.

    >>> checked_text("Sì.", 0)
    'Sì.'
    >>> checked_text(b"Yes.", 3)
    Traceback (most recent call last):
    TypeError: texts[3] is a bytes, must be a str
    """
    if not isinstance(text, str):
        raise TypeError(f"texts[{index}] is a {type(text).__name__}, must be a str")
    surrogate = _SURROGATE.search(text)
    if surrogate is not None:
        raise InvalidText(index, surrogate.start(), surrogate.group())
    return text


def checked_texts(texts: Iterable[str]) -> Iterator[str]:
    """Texts that can be sent, each checked as it is read.

    Raises:
        TypeError: `texts` is one str, whose characters would be translated one by one, or bytes.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts is a {type(texts).__name__}, must be several: write [text] for a single one")
    return (checked_text(text, index) for index, text in enumerate(texts))


class CallCutter:
    """Gathers texts for a call until it has as many as it takes.

    Args:
        max_texts: Texts in one call, at most.
        max_bytes: Of UTF-8 in one call, at most; a text that is longer goes alone.

    Raises:
        ValueError: `max_texts` is not from 1 to 1,024.
    """

    def __init__(self, max_texts: int = MAX_TEXTS, max_bytes: int = MAX_BYTES) -> None:
        if not 1 <= max_texts <= MAX_TEXTS:
            raise ValueError(f"texts_per_call is {max_texts}, must be from 1 to {MAX_TEXTS}")
        self._max_texts, self._max_bytes = max_texts, max_bytes
        self._texts: list[str] = []
        self._num_bytes = 0

    def add(self, text: str) -> Iterator[list[str]]:
        """Take a text; gives the calls that are complete by it."""
        num_bytes = len(text.encode())
        if self._num_bytes + num_bytes > self._max_bytes:
            yield from self.rest()
        self._texts.append(text)
        self._num_bytes += num_bytes
        if len(self._texts) == self._max_texts:
            yield from self.rest()

    def rest(self) -> Iterator[list[str]]:
        """Give what is gathered so far as a call, unless that is nothing."""
        texts, self._texts, self._num_bytes = self._texts, [], 0
        if texts:
            yield texts


def calls_of(texts: Iterable[str], cutter: CallCutter) -> Iterator[list[str]]:
    """Cut texts into the lists of single calls, reading no further than the one at hand needs.

    >>> list(calls_of(["a", "b", "c"], CallCutter(max_texts=2)))
    [['a', 'b'], ['c']]
    """
    for text in texts:
        yield from cutter.add(text)
    yield from cutter.rest()


async def calls_of_async(
    texts: Iterable[str] | AsyncIterable[str], cutter: CallCutter
) -> AsyncIterator[list[str]]:
    """Cut texts, which may come asynchronously, into the lists of single calls."""
    if isinstance(texts, AsyncIterable):
        index = 0
        async for text in texts:
            for call in cutter.add(checked_text(text, index)):
                yield call
            index += 1
        for call in cutter.rest():
            yield call
    else:
        for call in calls_of(texts, cutter):
            yield call


class RequestTemplate:
    """A request without its texts: languages, model and options.

    Raises:
        TypeError: an option of another name, or a value of another type than its field.
        ValueError: a number does not fit in its field of the contract, or there is no such priority,
            format or segmentation.
    """

    def __init__(
        self, source_language: str, target_language: str, **options: Unpack[TranslateOptions]
    ) -> None:
        unknown = options.keys() - TranslateOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"there is no option {', '.join(sorted(unknown))}")
        self._template = pb.TranslateRequest(
            source_language=source_language,
            target_language=target_language,
            model=options.get("model", ""),
            options=_options(options),
            priority=_value("priority", options.get("priority"), _PRIORITIES),
            format=_value("format", options.get("format"), _FORMATS),
            glossary_names=_several("glossary_names", options.get("glossary_names", ()), "name"),
        )
        _add_terms(self._template, options.get("glossary", ()))
        prefix = options.get("target_prefix")
        self._prefixes = None if prefix is None or isinstance(prefix, str) else list(prefix)
        self._template.target_prefixes.extend([prefix] if isinstance(prefix, str) and prefix else ())

    def check_prefixes(self, num_texts: int | None) -> None:
        """Refuse prefixes that are not one for each text.

        Args:
            num_texts: None if it is not known.

        Raises:
            TypeError: there may be only one for all.
            ValueError: there are more or fewer than texts.
        """
        if self._prefixes is None or len(self._prefixes) == num_texts:
            return
        if num_texts is None:
            raise TypeError("target_prefix has several, must be one str for all texts of translate_many")
        raise ValueError(
            f"target_prefix has {len(self._prefixes)}, must be one for each of {num_texts} texts"
        )

    def with_texts(self, texts: Sequence[str], first: int = 0) -> pb.TranslateRequest:
        """The request for these texts, of which the first is the `first` of all."""
        request = pb.TranslateRequest()
        request.CopyFrom(self._template)
        request.texts.extend(texts)
        if self._prefixes is not None:
            request.target_prefixes.extend(self._prefixes[first : first + len(texts)])
        return request


def score_requests(
    texts: Iterable[str],
    translations: Iterable[str],
    source_language: str,
    target_language: str,
    *,
    model: str = "",
    priority: str | None = None,
) -> Iterator[pb.ScoreRequest]:
    """The calls that score a translation of each text.

    Raises:
        TypeError, InvalidText: a text or a translation cannot be sent.
        ValueError: there are not as many translations as texts, or there is no such priority.
    """
    sources, targets = list(checked_texts(texts)), list(checked_texts(translations))
    if len(sources) != len(targets):
        raise ValueError(
            f"there are {len(targets)} translations, must be one for each of {len(sources)} texts"
        )
    first = 0
    for call in calls_of((a + b for a, b in zip(sources, targets, strict=True)), CallCutter()):
        last = first + len(call)
        yield pb.ScoreRequest(
            source_language=source_language,
            target_language=target_language,
            texts=sources[first:last],
            translations=targets[first:last],
            model=model,
            priority=_value("priority", priority, _PRIORITIES),
        )
        first = last


def _value(option: str, name: str | None, values: Mapping[str | None, _Value]) -> _Value:
    if name not in values:
        *others, last = (repr(name) for name in values if name is not None)
        raise ValueError(f"{option} is {name!r}, must be {', '.join(others)} or {last}")
    return values[name]


def _several(option: str, texts: Sequence[str], what: str) -> Sequence[str]:
    if isinstance(texts, str):
        raise TypeError(f"{option} is a str, must be several: write [{texts!r}] for a single {what}")
    return texts


def _add_terms(request: pb.TranslateRequest, glossary: Mapping[str, str] | Iterable[GlossaryTerm]) -> None:
    """Into the request at once: each call has them all, and 1,000 take half a millisecond so."""
    add = request.glossary.add
    if isinstance(glossary, Mapping):
        for source, target in glossary.items():
            add(source=source, target=target)
    else:
        for term in glossary:
            add(source=term.source, target=term.target, match_case=term.match_case)


def _options(options: TranslateOptions) -> pb.TranslateOptions:
    method, attention = options.get("method"), options.get("attention")
    if not isinstance(method, Sampling | ContrastiveSearch | None):
        raise TypeError(f"method is {method!r}, must be a Sampling, a ContrastiveSearch or None")
    return pb.TranslateOptions(
        beam_size=options.get("beam_size"),
        length_penalty=options.get("length_penalty"),
        max_target_tokens=options.get("max_target_tokens"),
        num_hypotheses=options.get("num_hypotheses"),
        sampling=pb.Sampling(**asdict(method)) if isinstance(method, Sampling) else None,
        contrastive_search=pb.ContrastiveSearch(**asdict(method))
        if isinstance(method, ContrastiveSearch)
        else None,
        attention=pb.AttentionOptions(**asdict(attention)) if attention is not None else None,
        skip_scores=options.get("skip_scores", False),
        suppress=_several("suppress", options.get("suppress", ()), "term"),
        no_repeat_ngram_size=options.get("no_repeat_ngram_size"),
        repetition_penalty=options.get("repetition_penalty"),
        min_target_tokens=options.get("min_target_tokens"),
        segmentation=_value("segmentation", options.get("segmentation"), _SEGMENTATIONS),
    )
