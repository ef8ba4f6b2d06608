"""Labels of language pairs, of which a model may have tens of thousands."""

from __future__ import annotations

MAX_PAIRS = 100
OTHER = "other"


class PairLabels:
    """Gives the first pairs that are translated labels of their own, and one to all others together.

    >>> labels = PairLabels(most=2)
    >>> [labels.of(pair) for pair in ("en-it", "it-en", "en-de", "en-it")]
    ['en-it', 'it-en', 'other', 'en-it']
    """

    def __init__(self, most: int = MAX_PAIRS) -> None:
        self._most, self._known = most, set[str]()

    def of(self, pair: str) -> str:
        """The label of a pair, for ever the same."""
        if pair not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(pair)
        return pair
