"""The searches against exhaustive search and against each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from model.networks.transformer import Transformer
from model.scoring.length_penalty import length_penalty
from model.searches.beam_search import beam_search, greedy_search, greedy_search_batch
from model.text.sentencepiece_tokenizer import END_ID, PADDING_ID, START_ID
from model.training.batches import pad

V = 5
SOURCE = [4, 1, 4, END_ID]
WIDE = V**3  # more beams than there are prefixes: nothing is ever dropped


def exhaustive_search(model: Transformer, limit: int, alpha: float) -> list[tuple[float, tuple[int, ...]]]:
    """Every target up to the limit that ends there or with END_ID, best score first."""
    memory = model.encode(torch.tensor([SOURCE]))
    found = []
    for length in range(1, limit + 1):
        for tokens in itertools.product(range(V), repeat=length):
            if END_ID in tokens[:-1] or (length < limit and tokens[-1] != END_ID):
                continue
            logits = model.decode(torch.tensor([[START_ID, *tokens[:-1]]]), memory)[0]  # (T, V)
            log_prob = float(logits.double().log_softmax(dim=-1)[range(length), tokens].sum())
            found.append((log_prob / length_penalty(length, alpha), tokens))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_wide_beam_finds_what_exhaustive_search_finds(
    make_model: Callable[..., Transformer], seed: int, alpha: float
) -> None:
    model = make_model(seed, vocabulary_size=V)
    expected = exhaustive_search(model, 3, alpha)
    found = beam_search(model, SOURCE, WIDE, 3, alpha)
    assert [h.token_ids for h in found[:10]] == [tokens for _, tokens in expected[:10]]
    assert [h.score for h in found] == pytest.approx([score for score, _ in expected], rel=0, abs=1e-5)


def test_score_is_log_prob_over_penalty_and_the_best_comes_first(
    make_model: Callable[..., Transformer],
) -> None:
    for alpha in (0.0, 1.0):
        found = beam_search(make_model(vocabulary_size=V), SOURCE, 4, 6, alpha)
        for hypothesis in found:
            expected = hypothesis.log_prob / length_penalty(len(hypothesis.token_ids), alpha)
            assert hypothesis.score == pytest.approx(expected, rel=1e-12)
        scores = [hypothesis.score for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert len(found) == 4


def test_log_prob_is_the_sum_over_the_tokens(make_model: Callable[..., Transformer]) -> None:
    model = make_model(vocabulary_size=V)
    for found in (greedy_search(model, SOURCE, 6), *beam_search(model, SOURCE, 3, 6)):
        target = torch.tensor([[START_ID, *found.token_ids[:-1]]])
        log_probs = model(torch.tensor([SOURCE]), target)[0].log_softmax(dim=-1)  # (T, V)
        expected = float(log_probs[range(target.shape[1]), found.token_ids].sum())
        assert found.log_prob == pytest.approx(expected, rel=0, abs=1e-4)


def random_sources(count: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, 12, (count,), generator=generator).tolist()
    return [[*torch.randint(4, 20, (n,), generator=generator).tolist(), END_ID] for n in lengths]


def test_one_beam_is_greedy_search(make_model: Callable[..., Transformer]) -> None:
    model = make_model(vocabulary_size=20)
    for source in random_sources(8):
        (found,) = beam_search(model, source, 1, 12)
        greedy = greedy_search(model, source, 12)
        assert found.token_ids == greedy.token_ids
        assert found.score == pytest.approx(greedy.score, rel=0, abs=1e-5)


def test_targets_end_with_the_end_or_at_the_limit(make_model: Callable[..., Transformer]) -> None:
    model, was_cut = make_model(vocabulary_size=20), []
    for source in random_sources(8):
        for found in (greedy_search(model, source, 8), *beam_search(model, source, 3, 8)):
            *before, last = found.token_ids
            assert END_ID not in before
            assert len(found.token_ids) == 8 or last == END_ID
            was_cut.append(last != END_ID)
    assert {True, False} == set(was_cut)


def test_a_padded_greedy_batch_finds_what_each_source_finds_alone(
    make_model: Callable[..., Transformer],
) -> None:
    model, sources = make_model(vocabulary_size=20), random_sources(12)
    source = pad(sources, PADDING_ID)
    rows = greedy_search_batch(model, source, source == PADDING_ID, 12)
    alone = [greedy_search(model, ids, 12).token_ids for ids in sources]
    assert [tuple(row) for row in rows] == [tuple(t for t in ids if t != END_ID) for ids in alone]
    assert len({len(row) for row in rows}) > 2


def test_a_larger_alpha_forgives_longer_targets_more() -> None:
    assert length_penalty(7, 0.0) == 1.0
    assert length_penalty(1, 0.7) == 1.0
    assert length_penalty(13, 2.0) == pytest.approx(9.0)
    gains = [length_penalty(20, alpha) / length_penalty(10, alpha) for alpha in (0.0, 0.5, 1.0, 2.0)]
    assert gains == sorted(gains)
    assert length_penalty(9, 0.5, "power") == 3.0
