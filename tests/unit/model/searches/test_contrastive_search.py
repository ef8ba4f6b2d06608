"""The slow contrastive search over scores made by hand, and over a model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.networks.transformer import Transformer
from model.searches.beam_search import greedy_search
from model.searches.contrastive_search import contrastive_search
from model.text.sentencepiece_tokenizer import END_ID, START_ID
from model.text.special_ids import DEFAULT_SPECIAL_IDS

A, B, C = 4, 5, 6
SOURCE = [A, END_ID]
NEXT = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.5, 0.4, 0.0])
HIDDEN = {START_ID: (1.0, 0.0), A: (1.0, 0.2), B: (0.0, 1.0), END_ID: (1.0, -1.0)}


class Table:
    """Whatever came before, A has 0.5, B 0.4 and END_ID 0.1; HIDDEN depends on the last token."""

    special_ids = DEFAULT_SPECIAL_IDS

    def encode(self, source: Tensor) -> None:
        assert source.tolist() == [SOURCE]

    def decode_step_with_hidden(self, prefix: Tensor, memory: None) -> tuple[Tensor, Tensor]:
        hidden = torch.tensor([HIDDEN[int(last)] for last in prefix[:, -1]])
        return NEXT.log().expand(len(prefix), -1), hidden


def test_a_token_like_those_before_it_gives_way_and_a_new_one_wins() -> None:
    """A resembles START, B nothing; then both have been said and END_ID resembles them least."""
    found = contrastive_search(Table(), SOURCE, 3, 0.6, 9)
    assert found.token_ids == (B, END_ID)
    assert found.log_prob == pytest.approx(float(NEXT[B].log() + NEXT[END_ID].log()))


def test_only_the_k_most_probable_tokens_are_candidates() -> None:
    assert contrastive_search(Table(), SOURCE, 2, 0.6, 3).token_ids == (B, A, A)


def test_without_a_penalty_the_most_probable_token_wins() -> None:
    assert contrastive_search(Table(), SOURCE, 3, 0.0, 4).token_ids == (A, A, A, A)


@pytest.mark.parametrize(("top_k", "penalty_alpha"), [(1, 0.6), (4, 0.0)])
def test_without_a_choice_it_is_greedy_search(
    make_model: Callable[..., Transformer], top_k: int, penalty_alpha: float
) -> None:
    model = make_model(vocabulary_size=20)
    for source in ([4, 9, END_ID], [7, 7, 12, 5, END_ID], [11, END_ID]):
        found = contrastive_search(model, source, top_k, penalty_alpha, 12)
        greedy = greedy_search(model, source, 12)
        assert found.token_ids == greedy.token_ids
        assert found.score == pytest.approx(greedy.score, rel=0, abs=1e-5)


def test_targets_end_with_the_end_or_at_the_limit(make_model: Callable[..., Transformer]) -> None:
    model = make_model(vocabulary_size=20)
    for length in range(1, 8):
        found = contrastive_search(model, [4, 9, END_ID], 4, 0.5, length)
        assert END_ID not in found.token_ids[:-1]
        assert len(found.token_ids) == length or found.token_ids[-1] == END_ID
