"""The engine's search against the slow one of the model, both over the same scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import search as oracle
from model.tokenizer import END_ID, START_ID
from server.engine.search import BeamSearch
from server.engine.sequence import Hypothesis, InferenceError, SequenceRequest, StopReason

V = 12  # at least 2 x the widest beam
SOURCE = [4, 5, END_ID]
SEEDS = range(12)


class RandomScorer:
    """Log-probabilities that depend on the whole prefix, and on nothing else."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def log_probs(self, prefixes: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        """Of the next token after prefixes without START_ID (K, V)."""
        return np.stack([self._row(prefix) for prefix in prefixes])

    def _row(self, prefix: tuple[int, ...]) -> NDArray[np.float32]:
        logits = torch.from_numpy(np.random.default_rng([self._seed, *prefix]).normal(size=V))
        logits[END_ID] += 0.4 * len(prefix) - 1.0  # early ends, late ends and none at all
        return logits.log_softmax(dim=-1).float().numpy()

    def encode(self, source: Tensor) -> None:
        """Part of the oracle's protocol; the source does not matter."""

    def decode_step(self, prefix: Tensor, memory: None) -> Tensor:
        """Part of the oracle's protocol."""
        rows = prefix.tolist()
        assert all(row[0] == START_ID for row in rows)
        return torch.from_numpy(self.log_probs([tuple(row[1:]) for row in rows]))


def search(scorer: RandomScorer, beam_size: int, limit: int, alpha: float) -> tuple[Hypothesis, ...]:
    """Drive a BeamSearch as a lane does: the best next tokens in, the live prefixes out."""
    request = SequenceRequest(
        sequence_id=0,
        source=tuple(SOURCE),
        beam_size=beam_size,
        length_penalty=alpha,
        max_target_tokens=limit,
    )
    beams = BeamSearch(request, END_ID)
    num_candidates = 1 if beam_size == 1 else 2 * beam_size
    prefixes: list[tuple[int, ...]] = [()] * beam_size
    while True:
        log_probs = scorer.log_probs(prefixes)
        tokens = np.argsort(-log_probs, axis=1)[:, :num_candidates]
        continuation = beams.advance(np.take_along_axis(log_probs, tokens, axis=1), tokens)
        if continuation is None:
            return beams.hypotheses()
        assert len(continuation.parents) == len(continuation.tokens) == beam_size
        following = zip(continuation.parents, continuation.tokens, strict=True)
        prefixes = [(*prefixes[parent], token) for parent, token in following]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.5])
@pytest.mark.parametrize("limit", [1, 2, 5, 12])
@pytest.mark.parametrize("beam_size", [1, 2, 3, 4, 5])
def test_a_beam_finds_exactly_what_the_slow_search_finds(beam_size: int, limit: int, alpha: float) -> None:
    for seed in SEEDS:
        scorer = RandomScorer(seed)
        expected = oracle.beam_search(scorer, SOURCE, beam_size, limit, alpha)
        found = search(scorer, beam_size, limit, alpha)
        assert [(h.token_ids, h.log_prob, h.score) for h in found] == [
            (h.token_ids, h.log_prob, h.score) for h in expected
        ]


@pytest.mark.parametrize("limit", [1, 3, 12])
def test_a_beam_of_one_is_greedy_search(limit: int) -> None:
    for seed in SEEDS:
        scorer = RandomScorer(seed)
        expected = oracle.greedy_search(scorer, SOURCE, limit, 0.6)
        (found,) = search(scorer, 1, limit, 0.6)
        assert (found.token_ids, found.score) == (expected.token_ids, expected.score)


def test_a_hypothesis_says_whether_it_ended_or_was_cut() -> None:
    seen = set()
    for seed in SEEDS:
        for hypothesis in search(RandomScorer(seed), 4, 5, 1.0):
            has_ended = hypothesis.token_ids[-1] == END_ID
            assert has_ended or len(hypothesis.token_ids) == 5
            assert hypothesis.stop_reason is (StopReason.END if has_ended else StopReason.LENGTH)
            seen.add(hypothesis.stop_reason)
    assert seen == set(StopReason)


def test_hypotheses_come_best_first_and_are_all_different() -> None:
    for seed in SEEDS:
        found = search(RandomScorer(seed), 5, 12, 1.0)
        scores = [hypothesis.score for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.token_ids for hypothesis in found}) == len(found) == 5


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_score_that_is_no_number_raises(beam_size: int) -> None:
    request = SequenceRequest(
        sequence_id=0, source=(4,), beam_size=beam_size, length_penalty=1.0, max_target_tokens=5
    )
    log_probs = np.full((beam_size, 2 * beam_size), -1.0, np.float32)
    log_probs[-1, -1] = np.nan
    with pytest.raises(InferenceError, match="not a number"):
        BeamSearch(request, END_ID).advance(log_probs, np.zeros(log_probs.shape, np.int64))
