"""IBM Model 1 finds the dictionary behind parallel text, and counts as its slow oracle does."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.shortlist.lexical_alignment import LexicalTable, lexical_table

WORDS = 30
EMPTY = 0
ARTICLE = 99
VOCABULARY_SIZE = 100
SENTENCE = st.lists(st.integers(0, 4), max_size=5)


def dictionary_text(seed: int, count: int = 400) -> tuple[list[list[int]], list[list[int]]]:
    """Sentences of words 1 to 30 and their translations, word + 50, in another order and with an article."""
    chance = random.Random(seed)
    sources, targets = [], []
    for _ in range(count):
        words = [chance.randint(1, WORDS) for _ in range(chance.randint(2, 8))]
        sources.append([EMPTY, *words])
        targets.append([*chance.sample([word + 50 for word in words], len(words)), ARTICLE])
    return sources, targets


def best_targets(table: LexicalTable) -> dict[int, int]:
    best = table.pruned(1, 0)
    return dict(zip(best.sources.tolist(), best.targets.tolist(), strict=True))


def oracle(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], iterations: int
) -> dict[tuple[int, int], float]:
    """Brown et al. 1993, word by word."""
    probability: dict[tuple[int, int], float] = defaultdict(lambda: 1.0)
    counts: dict[tuple[int, int], float] = {}
    for _ in range(iterations):
        counts = defaultdict(float)
        for source, target in zip(sources, targets, strict=True):
            for b in target:
                total = sum(probability[a, b] for a in source)
                for a in source:
                    counts[a, b] += probability[a, b] / total
        totals: dict[int, float] = defaultdict(float)
        for (a, _), count in counts.items():
            totals[a] += count
        probability = defaultdict(float, {(a, b): n / totals[a] for (a, b), n in counts.items()})
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_the_dictionary_behind_a_text_is_found(seed: int) -> None:
    found = best_targets(lexical_table(*dictionary_text(seed), VOCABULARY_SIZE))
    for word in range(1, WORDS + 1):
        assert found[word] == word + 50


def test_what_translates_no_word_goes_to_the_empty_one() -> None:
    table = lexical_table(*dictionary_text(0), VOCABULARY_SIZE, iterations=10)
    assert best_targets(table)[EMPTY] == ARTICLE
    of_article = table.selected(table.targets == ARTICLE)
    assert of_article.counts[of_article.sources == EMPTY].sum() > 0.8 * of_article.counts.sum()


def test_more_rounds_make_the_table_sharper() -> None:
    text = dictionary_text(0)
    right = []
    for iterations in (1, 2, 3, 5):
        table = lexical_table(*text, VOCABULARY_SIZE, iterations)
        right.append(float(table.probabilities()[table.targets == table.sources + 50].mean()))
    assert right == sorted(right)
    assert right[-1] > 0.9


@given(pairs=st.lists(st.tuples(SENTENCE, SENTENCE), max_size=6), iterations=st.integers(1, 4))
def test_it_counts_as_the_slow_oracle_does(pairs: list[tuple[list[int], list[int]]], iterations: int) -> None:
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    table = lexical_table(sources, targets, 5, iterations)
    expected = oracle(sources, targets, iterations)
    keys = list(zip(table.sources.tolist(), table.targets.tolist(), strict=True))
    assert keys == sorted(expected)
    np.testing.assert_allclose(table.counts, [expected[key] for key in keys], rtol=1e-9, atol=1e-12)


def test_counts_add_up_to_the_target_tokens_and_probabilities_to_one() -> None:
    sources, targets = dictionary_text(1)
    table = lexical_table(sources, targets, VOCABULARY_SIZE)
    assert table.counts.sum() == pytest.approx(sum(map(len, targets)))
    sums = np.bincount(table.sources, weights=table.probabilities())
    np.testing.assert_allclose(sums[np.unique(table.sources)], 1, rtol=1e-9)


def test_pruning_keeps_the_most_frequent_in_the_order_of_the_ids() -> None:
    table = LexicalTable(
        sources=np.array([1, 1, 1, 1, 2, 3]),
        targets=np.array([4, 5, 6, 7, 4, 9]),
        counts=np.array([0.5, 2.0, 0.5, 3.0, 0.05, 0.1]),
    )
    kept = table.pruned(3, 0.1)
    assert kept.sources.tolist() == [1, 1, 1, 3]
    assert kept.targets.tolist() == [4, 5, 7, 9]  # of 4 and 6, alike, the lower id
    assert kept.counts.tolist() == [0.5, 2.0, 3.0, 0.1]
    assert table.pruned(0, 0).targets.size == 0


def test_no_text_gives_an_empty_table() -> None:
    for sources, targets in (([], []), ([[], [1]], [[2], []])):
        assert lexical_table(sources, targets, 5).pruned(3, 0).counts.size == 0
