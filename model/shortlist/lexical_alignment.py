"""Which target tokens each source token is translated to, counted from parallel text: IBM Model 1.

Knows nothing of PyTorch, languages or files: sentences are ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LexicalTable:
    """How often a source token was translated to a target token, in the order of source and then target.

    sources (N), targets (N) are ids; counts (N) are expectations and so no whole numbers. Of one source
    they are in proportion to t(target | source).
    """

    sources: Ids
    targets: Ids
    counts: NDArray[np.float64]

    def probabilities(self) -> NDArray[np.float64]:
        """t(target | source) (N): each count over the sum of its source's."""
        return _proportions(self.counts, self.sources)

    def selected(self, is_kept: NDArray[np.bool_]) -> LexicalTable:
        """The entries where is_kept (N) is True."""
        return LexicalTable(
            sources=self.sources[is_kept], targets=self.targets[is_kept], counts=self.counts[is_kept]
        )

    def pruned(self, max_targets: int, min_count: float) -> LexicalTable:
        """For each source its `max_targets` most frequent targets of at least this count.

        Of equal ones the lower id stays, so that the same table is always pruned alike.
        """
        order = np.lexsort((self.targets, -self.counts, self.sources))  # (N)
        sources = self.sources[order]
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order)) - np.searchsorted(sources, sources)  # (N), 0 is a source's first
        return self.selected((rank < max_targets) & (self.counts >= min_count))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Links:
    """Every target token of every sentence linked to each token of its source: L links.

    keys (N) are the distinct source · V + target; key_of_link (L) indexes them. The links of one
    target token stand together: first (T) is where each group starts, sizes (T) its length.
    """

    keys: Ids
    key_of_link: Ids
    first: Ids
    sizes: Ids


def num_links(source: Sequence[int], target: Sequence[int]) -> int:
    """What a pair costs: `lexical_table` needs about 75 bytes for each link.

    >>> num_links([4, 5, 6], [7, 8])
    6
    """
    return len(source) * len(target)


def lexical_table(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    vocabulary_size: int,
    iterations: int = 3,
) -> LexicalTable:
    """Learn t(target | source) by expectation maximisation.

    Each target token translates one token of its source; which one is unknown. From uniform t, each
    round shares every target token out among the tokens of its source in proportion to t, and makes t
    anew from the sums of these shares.

    Args:
        sources: Ids of each sentence. Model 1 has an empty word, from which comes what translates
            nothing in the source: to have it, open every source with one same id, such as the
            language's tag.
        targets: Ids of their translations.
        vocabulary_size: V, above every id.
        iterations: Rounds, at least 1. Each makes t sharper: more of them find the one right word
            better, fewer leave more of its synonyms in sight, which a shortlist needs.

    Source: Brown et al. 1993, "The Mathematics of Statistical Machine Translation", section 4.1.
    """
    links = _link(sources, targets, vocabulary_size)
    source_of_key = links.keys // vocabulary_size  # (N)
    counts = np.ones(len(links.keys))  # (N)
    probabilities = counts  # one constant is as good as 1 / V
    for _ in range(iterations):
        shares = probabilities[links.key_of_link]  # (L)
        shares /= np.repeat(np.add.reduceat(shares, links.first), links.sizes)
        counts = _sums(links.key_of_link, shares)  # (N)
        probabilities = _proportions(counts, source_of_key)
    return LexicalTable(sources=source_of_key, targets=links.keys % vocabulary_size, counts=counts)


def _proportions(counts: NDArray[np.float64], sources: Ids) -> NDArray[np.float64]:
    return counts / _sums(sources, counts)[sources]


def _sums(groups: Ids, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(groups, weights=values), dtype=np.float64)


def _link(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], vocabulary_size: int) -> _Links:
    pairs = [(source, target) for source, target in zip(sources, targets, strict=True) if source and target]
    source_lengths = np.array([len(source) for source, _ in pairs], dtype=np.int64)
    target_lengths = np.array([len(target) for _, target in pairs], dtype=np.int64)
    source_ids = _flat([source for source, _ in pairs])  # (S)
    target_ids = _flat([target for _, target in pairs])  # (T)
    sizes = np.repeat(source_lengths, target_lengths)  # (T)
    first = np.cumsum(sizes) - sizes  # (T)
    source_start = np.repeat(np.cumsum(source_lengths) - source_lengths, target_lengths)  # (T)
    position = np.arange(int(sizes.sum())) + np.repeat(source_start - first, sizes)  # (L)
    keys = source_ids[position] * vocabulary_size + np.repeat(target_ids, sizes)  # (L)
    distinct, key_of_link = np.unique(keys, return_inverse=True)  # (N), (L)
    return _Links(keys=distinct, key_of_link=key_of_link, first=first, sizes=sizes)


def _flat(rows: Sequence[Sequence[int]]) -> Ids:
    return np.fromiter((token for row in rows for token in row), dtype=np.int64)
