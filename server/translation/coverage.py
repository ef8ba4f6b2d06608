"""Words of a source that a model hardly looked at while it translated: they are likely to be missing."""

from __future__ import annotations

from itertools import groupby

from server.documents.markup.words import Weights, is_mark, word_ranges

# Of 2,000 sentences 0.3 % have such a run; of those of 12 words and more 92 % have one if the second half of
# their attention is taken away (the bundled model, English to Italian).
_LEAST_WEIGHT, _LEAST_WORDS = 0.05, 3


def unattended(source: str, weights: Weights) -> str:
    """The longest run of words with hardly any attention; empty where it is short.

    Args:
        weights: (T, S), how much each target word looks at each source word, as `word_ranges` counts them.

    >>> unattended("I am here, I think so.", [[0.9, 0.9, 0.9, 0.0, 0.01, 0.0, 0.0, 0.0]])
    'I think so'
    """
    ranges = word_ranges(source)
    words = [i for i, (start, end) in enumerate(ranges) if not is_mark(source[start:end])]
    totals = [sum(row[i] for row in weights) for i in words]
    runs = groupby(zip(words, totals, strict=True), key=lambda word: word[1] < _LEAST_WEIGHT)
    unseen = [[i for i, _ in run] for is_unseen, run in runs if is_unseen]
    longest = max(unseen, key=len, default=[])
    if len(longest) < _LEAST_WORDS:
        return ""
    return source[ranges[longest[0]][0] : ranges[longest[-1]][1]]
