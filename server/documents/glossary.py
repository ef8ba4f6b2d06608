"""Terms whose translation is given: where they are in a text, whatever the language and the model."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from server.documents.invisible import visible
from server.documents.markup.tokens import Range
from server.documents.markup.words import word_ranges
from server.documents.protected import literal_ranges

MAX_TERM_CHARACTERS = 128
_MAX_QUOTED = 16  # characters of a term in a fault: many faults fit into a header
MAX_TERM_WORDS = 16  # at each word of a text terms of each length are looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What a text says, and what its translation shall say.

    Args:
        source: With a word or a mark in it.
        target: Empty for a term that stays as the text has it.
        match_case: Whether another case is another term, in the text and in the translation.
    """

    source: str
    target: str = ""
    match_case: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A term in a text.

    Args:
        words: The first of its words, as `word_ranges` counts them, and the one behind its last.
        target: What the translation shall say.
    """

    term: Term
    words: Range
    target: str


class Glossary:
    """Terms to look for, made once; of those of the same source the first counts.

    A term is found where its words stand one after the other, whatever white space is between them. In a
    script without spaces each character is a word.

    Args:
        terms: Without faults.
        sha256: Digest of the file that they are from; empty if they are from none.
    """

    def __init__(self, terms: Iterable[Term], sha256: str = "") -> None:
        self.sha256 = sha256
        self._by_words: dict[tuple[bool, tuple[str, ...]], Term] = {}
        lengths: dict[str, set[int]] = {}  # of the terms that begin with a word
        for term in terms:
            words = key_words(term.source, match_case=term.match_case)
            if self._by_words.setdefault((term.match_case, words), term) is term:
                lengths.setdefault(words[0].casefold(), set()).add(len(words))
        self._lengths = {word: sorted(found, reverse=True) for word, found in lengths.items()}

    def __len__(self) -> int:
        return len(self._by_words)

    def longest_at(self, words: Sequence[str], folded: Sequence[str], i: int) -> tuple[int, Term] | None:
        """The number of words and the term of the longest that begins with a word; one of its case first.

        Args:
            folded: The words without regard to case.
        """
        for length in self._lengths.get(folded[i], ()):
            if i + length > len(words):
                continue
            term = self._by_words.get((True, tuple(words[i : i + length])))
            term = term or self._by_words.get((False, tuple(folded[i : i + length])))
            if term is not None:
                return length, term
        return None


def _text_fault(text: str) -> str | None:
    """What is wrong with a source or a target, as the value and the limit."""
    if not text:
        return "is empty"
    if text != text.strip():
        return "begins or ends with white space"
    if len(text) > MAX_TERM_CHARACTERS:
        return f"has {len(text)} characters, must have at most {MAX_TERM_CHARACTERS}"
    if "\t" in text or len(text.splitlines()) > 1 or visible(text) != text:
        return "has tabs, line breaks or invisible characters, must have none"
    if (num_words := len(word_ranges(text))) > MAX_TERM_WORDS:
        return f"has {num_words} words and marks, must have at most {MAX_TERM_WORDS}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFault:
    """What is wrong with a term.

    Args:
        index: Its place among the others.
        side: "source" or "target".
        rule: The value and the limit.
        first: The place of the one whose source it has, if that is the fault.
    """

    index: int
    side: str
    rule: str
    first: int | None = None


def term_faults(terms: Iterable[Term]) -> Iterator[TermFault]:
    """What is wrong with terms that are to make a glossary."""
    places: dict[tuple[bool, tuple[str, ...]], int] = {}
    for i, term in enumerate(terms):
        if source_rule := _text_fault(term.source):
            yield TermFault(index=i, side="source", rule=source_rule)
        if term.target and (rule := _text_fault(term.target)):
            yield TermFault(index=i, side="target", rule=rule)
        key = (term.match_case, key_words(term.source, match_case=term.match_case))
        if not source_rule and (first := places.setdefault(key, i)) != i:
            rule = f"is {term.source[:_MAX_QUOTED]!r}, must be another than that of"
            yield TermFault(index=i, side="source", rule=rule, first=first)


def key_words(text: str, *, match_case: bool) -> tuple[str, ...]:
    """The words of a term as they are compared: two terms of equal ones are the same."""
    words = _composed(text[start:end] for start, end in word_ranges(text))
    return tuple(words if match_case else map(str.casefold, words))


def occurrences(text: str, glossaries: Sequence[Glossary]) -> list[Occurrence]:
    """Where terms are, none within another: at each word the longest, of equally long ones the first's.

    What must not change anyway, as addresses and placeholders, has none.

    >>> glossary = Glossary([Term(source="black cat", target="micio nero"), Term(source="cat")])
    >>> [(found.words, found.target) for found in occurrences("A black  cat, no CAT. cats", [glossary])]
    [((1, 3), 'micio nero'), ((5, 6), 'CAT')]
    """
    ranges = word_ranges(text) if glossaries else []
    words = _composed(text[start:end] for start, end in ranges)
    folded = [word.casefold() for word in words]
    literals, found, i = literal_ranges(text), list[Occurrence](), 0
    while i < len(ranges):
        matches = [match for glossary in glossaries if (match := glossary.longest_at(words, folded, i))]
        length, term = max(matches, key=lambda match: match[0], default=(1, None))
        start, end = ranges[i][0], ranges[i + length - 1][1]
        if term is not None and not any(start < last and first < end for first, last in literals):
            found.append(Occurrence(term=term, words=(i, i + length), target=term.target or text[start:end]))
        i += length
    return found


def _composed(words: Iterable[str]) -> list[str]:
    return [word if word.isascii() else unicodedata.normalize("NFC", word) for word in words]


def places_of(term: str, words: tuple[str, ...], *, match_case: bool) -> Iterator[Range]:
    """The words of a text that are a term, each time; at its beginning in capitals or not.

    Args:
        words: The `key_words` of the text, of the same `match_case`.

    >>> words = key_words("Micio nero e micio  NERO", match_case=False)
    >>> list(places_of("micio nero", words, match_case=False))
    [(0, 2), (3, 5)]
    """
    wanted = key_words(term, match_case=match_case)
    if match_case and words[:1] and words[0] == wanted[0][:1].upper() + wanted[0][1:]:
        words = (wanted[0], *words[1:])
    for i in range(len(words) - len(wanted) + 1):
        if words[i : i + len(wanted)] == wanted:
            yield i, i + len(wanted)
