"""A text as the segments that a model translates and what stays between them; and back, losing nothing."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from server.documents.clauses import parts
from server.documents.glossary import Glossary, Occurrence, occurrences
from server.documents.invisible import trimmed, visible
from server.documents.markup.skeleton import Skeleton
from server.documents.markup.tokens import Range
from server.documents.protected import has_symbols, has_words, literal_ranges
from server.documents.sentences import line_ranges, sentence_ranges
from server.documents.warnings import TextWarning, WarningReason

Fits = Callable[[str], bool]
# Languages that are written without spaces between sentences, as the first part of their tags.
_UNSPACED_LANGUAGES = {"bo", "dz", "ja", "km", "lo", "my", "th", "yue", "zh"}


class Segmentation(enum.Enum):
    """How a text is cut before it is translated."""

    SENTENCES = enum.auto()  # at line breaks and between sentences
    LINES = enum.auto()  # at line breaks
    NONE = enum.auto()  # not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a text that is translated as one sequence.

    Args:
        start, end: Its place in the text, in characters.
        text: What the model is given: the same without invisible characters, and without markup.
        skeleton: Of a text with markup, what the translation gets back.
        is_inner: Whether it is the value of an attribute within the segment before it.
        terms: Of glossaries, in `text`.
    """

    start: int
    end: int
    text: str
    skeleton: Skeleton | None = None
    is_inner: bool = False
    terms: tuple[Occurrence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text, cut.

    Args:
        segments: In order, none within another but inner ones; what is between them stays as it is.
        warnings: What the cutting could not keep.
    """

    text: str
    segments: tuple[Segment, ...]
    warnings: tuple[TextWarning, ...] = ()

    def with_segments(self, order: Sequence[int]) -> Document:
        """The document with some of its segments, in the order of their places; warnings follow theirs.

        Args:
            order: Indices of the segments that stay, as they come to stand.
        """
        numbers = {old: new for new, old in enumerate(order)}
        known = [w for w in self.warnings if w.segment is None or w.segment in numbers]
        warnings = [w if w.segment is None else replace(w, segment=numbers[w.segment]) for w in known]
        segments = tuple(_nested(self.segments[i] for i in order))
        return replace(self, segments=segments, warnings=tuple(warnings))

    def with_terms(self, glossaries: Sequence[Glossary]) -> Document:
        """The document with the terms that its segments have."""
        if not glossaries:
            return self
        segments = [replace(s, terms=tuple(occurrences(s.text, glossaries))) for s in self.segments]
        return replace(self, segments=tuple(segments))

    @property
    def outer_segments(self) -> list[Segment]:
        """Those that are not within another."""
        return [segment for segment in self.segments if not segment.is_inner]

    def joined(self, targets: Sequence[str], pair: tuple[str, str]) -> tuple[str, list[Range]]:
        """The text with a target in the place of each segment.

        Args:
            targets: One for each segment that is not an inner one.
            pair: Source and target language, as BCP-47 tags. Where the source puts no space between two
                sentences and the target's script has one there, one is added.

        Returns:
            The text, and where in it each target is, in characters.
        """
        space = " " if is_unspaced(pair[0]) and not is_unspaced(pair[1]) else ""
        pieces: list[str] = []
        ranges: list[Range] = []
        place = length = 0
        for segment, target in zip(self.outer_segments, targets, strict=True):
            gap = self.text[place : segment.start] or (space if ranges else "")
            length += len(gap)
            pieces += [gap, target]
            ranges.append((length, length + len(target)))
            length, place = length + len(target), segment.end
        return "".join((*pieces, self.text[place:])), ranges


def read_document(text: str, language: str, segmentation: Segmentation, fits: Fits) -> Document:
    r"""Cut a text.

    Args:
        language: Of the text, a BCP-47 tag.
        fits: Whether a model takes so long a text; not asked where a text shall not be cut.

    >>> document = read_document("One.  Two.\n", "en", Segmentation.SENTENCES, lambda text: True)
    >>> [segment.text for segment in document.segments]
    ['One.', 'Two.']
    >>> document.joined(["Uno.", "Due."], ("en", "it"))
    ('Uno.  Due.\n', [(0, 4), (6, 10)])
    """
    reading = _Reading(text, language, fits)
    if segmentation is Segmentation.NONE:
        reading.add_whole()
    else:
        read = reading.read_line if segmentation is Segmentation.LINES else reading.read_sentences
        for line in line_ranges(text):
            read(line)
    return Document(text=text, segments=tuple(reading.segments), warnings=tuple(reading.warnings))


class _Reading:
    """A text while it is cut: the segments and warnings so far."""

    def __init__(self, text: str, language: str, fits: Fits) -> None:
        self._text, self._language, self._fits = text, language, fits
        # Emoji are the same in every language; what a text of nothing else means is for the model to say.
        self._needs_model = has_words if any(map(str.isalnum, text)) else has_symbols
        self.segments: list[Segment] = []
        self.warnings: list[TextWarning] = []

    def add_whole(self) -> None:
        """The whole text as one segment, unless there is nothing to see in it."""
        segment = self._segment((0, len(self._text)))
        if segment.text:
            self._add(segment)

    def read_line(self, line: Range) -> None:
        """A line as one segment, or as its sentences if it is too long."""
        segment, first = self._segment(line), len(self.segments)
        if self._fits(segment.text):
            self._add_if_needed(segment)
        else:
            self.read_sentences(line)
            self._warn_of_split(first)

    def read_sentences(self, line: Range) -> None:
        """A line as its sentences."""
        for sentence in self._sentences(line):
            segment = self._segment(sentence)
            if self._fits(segment.text):
                self._add_if_needed(segment)
            else:
                self._read_parts(sentence)

    def _sentences(self, line: Range) -> Iterator[Range]:
        """The sentences of a line; no sentence ends within an address, a tag or a placeholder."""
        start, end = line
        literals = iter(literal_ranges(self._text[start:end]))
        literal, whole = next(literals, None), None
        for sentence in sentence_ranges(self._text, *line, self._language):
            boundary = sentence[0] - start
            while literal and literal[1] <= boundary:
                literal = next(literals, None)
            if whole and literal and literal[0] < boundary:
                whole = (whole[0], sentence[1])
                continue
            if whole:
                yield whole
            whole = sentence
        if whole:
            yield whole

    def _read_parts(self, sentence: Range) -> None:
        """A sentence that is too long as its parts; a word that is too long stays where it is."""
        first = len(self.segments)

        def fits(start: int, end: int) -> bool:
            return self._fits(self._segment((start, end)).text)

        for part in parts(self._text, *sentence, fits):
            segment = self._segment(part)
            if self._fits(segment.text):
                self._add_if_needed(segment)
            else:
                self.warnings.append(TextWarning(reason=WarningReason.UNTRANSLATED, text=segment.text))
        self._warn_of_split(first)

    def _segment(self, place: Range) -> Segment:
        start, end = trimmed(self._text, *place)
        return Segment(start=start, end=end, text=visible(self._text[start:end]))

    def _add_if_needed(self, segment: Segment) -> None:
        if self._needs_model(segment.text):
            self._add(segment)

    def _add(self, segment: Segment) -> None:
        if segment.text != self._text[segment.start : segment.end]:
            self._warn(WarningReason.INVISIBLE_CHARACTERS, len(self.segments))
        self.segments.append(segment)

    def _warn_of_split(self, first: int) -> None:
        """Warn once of what was too long, if anything of it became a segment."""
        is_told = self.warnings[-1:] == [TextWarning(reason=WarningReason.SENTENCE_SPLIT, segment=first)]
        if len(self.segments) > first and not is_told:
            self._warn(WarningReason.SENTENCE_SPLIT, first)

    def _warn(self, reason: WarningReason, segment: int) -> None:
        self.warnings.append(TextWarning(reason=reason, segment=segment))


def _nested(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Segments in order, those told apart that lie within another: values of attributes in a sentence."""
    end = 0
    for segment in segments:
        is_inner = segment.start < end
        yield segment if segment.is_inner == is_inner else replace(segment, is_inner=is_inner)
        end = max(end, segment.end)


def utf8_ranges(text: str, ranges: Sequence[Range]) -> Iterator[Range]:
    """Ranges in characters, in order of their beginnings, as ranges in bytes of UTF-8.

    >>> list(utf8_ranges("è qui", [(0, 1), (2, 5)]))
    [(0, 2), (3, 6)]
    """
    if text.isascii():
        yield from ranges
        return
    place = num_bytes = 0
    for start, end in ranges:
        num_bytes += len(text[place:start].encode())
        place = start
        yield num_bytes, num_bytes + len(text[start:end].encode())


def is_unspaced(language: str) -> bool:
    """Whether a language, a BCP-47 tag, is written without spaces between sentences and words."""
    return language.partition("-")[0].lower() in _UNSPACED_LANGUAGES
