"""Whether a translation has the terms of a glossary, and the terms at the words that are in their places."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from server.documents.glossary import Occurrence, key_words, places_of
from server.documents.markup.tokens import Range
from server.documents.markup.words import Weights, alignment, word_ranges

# How much of its attention a word spends on a term whose place it is, and one beside that is of it too: of
# articles and prepositions beside the word itself most have 0.4 to 0.7, of words of the term 0.9.
_LEAST_SHARE, _LEAST_SHARE_BESIDE = 0.5, 0.75


def lacking(found: Sequence[Occurrence], target: str) -> list[Occurrence]:
    """The occurrences of terms in a source that a translation has no place of their own for.

    >>> from server.documents.glossary import Glossary, Term, occurrences
    >>> found = occurrences("cat and cat", [Glossary([Term(source="cat", target="gatto")])])
    >>> len(lacking(found, "Il gatto")), len(lacking(found, "gatto e Gatto"))
    (1, 0)
    """
    return _compared(found, target)[0]


def with_terms(
    found: Sequence[Occurrence], source: str, target: str, weights: Weights
) -> tuple[str, Weights]:
    """A translation with the terms that it lacks in place of the words that look at them.

    A term that no word looks at most of the time stays lacking.

    Args:
        found: The terms in the source.
        weights: (T, S), of the words of both.

    Returns:
        The translation, and the weights of its words.
    """
    missing, taken = _compared(found, target)
    source_words = [source[start:end] for start, end in word_ranges(source)]
    ranges = word_ranges(target)
    owners = alignment(source_words, [target[start:end] for start, end in ranges], weights)
    changes: list[tuple[Range, Occurrence]] = []
    for occurrence in missing:
        place = _place(occurrence.words, owners, weights, taken)
        if place is not None:
            taken.append(place)
            changes.append((place, occurrence))
    rows = list(weights)
    for (first, last), occurrence in sorted(changes, key=itemgetter(0), reverse=True):  # others' places stay
        start, end = ranges[first][0], ranges[last - 1][1]
        term = occurrence.target
        if not occurrence.term.match_case:
            term = _in_case(term, source, target, start)
        target = target[:start] + term + target[end:]
        rows[first:last] = [rows[first]] * len(word_ranges(term))
    return target, rows


def _in_case(term: str, source: str, target: str, place: int) -> str:
    """A term as it is written in a translation: in capitals like all of it, or like the word in its place."""
    if source.isupper() and target.isupper():
        return term.upper()
    is_first = target[place].isupper() and not any(map(str.isalnum, target[:place]))
    return term[:1].upper() + term[1:] if is_first and term.islower() else term


def _place(
    term: Range, owners: Sequence[int | None], weights: Weights, taken: Sequence[Range]
) -> Range | None:
    """The target words that are a term's translation: the one that looks at it most, and those beside it."""
    shares = [
        _share(weights[t], term)
        if owner is not None and term[0] <= owner < term[1] and not _overlaps((t, t + 1), taken)
        else 0.0
        for t, owner in enumerate(owners)
    ]
    best = max(range(len(shares)), key=lambda t: (shares[t], sum(weights[t][slice(*term)])), default=0)
    if not shares or shares[best] < _LEAST_SHARE:
        return None
    first, last = best, best + 1
    while first > 0 and shares[first - 1] >= _LEAST_SHARE_BESIDE:
        first -= 1
    while last < len(shares) and shares[last] >= _LEAST_SHARE_BESIDE:
        last += 1
    return first, last


def _share(row: Sequence[float], term: Range) -> float:
    return sum(row[slice(*term)]) / (sum(row) or 1.0)


def _compared(found: Sequence[Occurrence], target: str) -> tuple[list[Occurrence], list[Range]]:
    """The occurrences without a place in a translation, and the places of the others."""
    words = {case: key_words(target, match_case=case) for case in {item.term.match_case for item in found}}
    taken: list[Range] = []
    missing = []
    for occurrence in sorted(found, key=lambda occurrence: -len(occurrence.target)):  # it may hold others
        case = occurrence.term.match_case
        places = places_of(occurrence.target, words[case], match_case=case)
        place = next((place for place in places if not _overlaps(place, taken)), None)
        if place is None:
            missing.append(occurrence)
        else:
            taken.append(place)
    return missing, taken


def _overlaps(place: Range, others: Sequence[Range]) -> bool:
    return any(place[0] < end and start < place[1] for start, end in others)
