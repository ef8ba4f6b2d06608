"""Scores against their formulas, and what the weights must hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.networks.config import RecurrentConfig
from model.networks.source_attention import SourceAttention

B, T, S, E = 2, 3, 7, 8
SCORES = ("dot", "scaled_dot", "cosine", "general", "additive")
scores = pytest.mark.parametrize("score", SCORES)
hardness = pytest.mark.parametrize("is_hard", [False, True], ids=["soft", "hard"])
MakeAttention = Callable[..., SourceAttention]


@pytest.fixture
def make_attention() -> MakeAttention:
    def make(score: str, *, is_hard: bool = False) -> SourceAttention:
        torch.manual_seed(3)
        config = RecurrentConfig(
            vocabulary_size=10,
            model_size=E,
            attention=score,  # type: ignore[arg-type]
            hard_attention=is_hard,
        )
        return SourceAttention(config).eval()

    return make


def queries_and_memory() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(B, T, E, generator=generator), torch.randn(B, S, E, generator=generator)


def by_formula(attention: SourceAttention, q: Tensor, m: Tensor) -> float:
    """The table of the class, for one query and one position."""
    cosine = q @ m / (q.norm() * m.norm())
    formulas: dict[str, Callable[[], Tensor]] = {
        "dot": lambda: q @ m,
        "scaled_dot": lambda: q @ m / math.sqrt(E),
        "cosine": lambda: attention.sharpness * cosine,
        "general": lambda: attention.query.weight @ q @ m,
        "additive": lambda: (
            attention.sum.weight[0]
            @ torch.tanh(attention.query.weight @ q + attention.query.bias + attention.key.weight @ m)
        ),
    }
    return float(formulas[attention.score]().detach())


@scores
def test_scores_are_their_formulas(make_attention: MakeAttention, score: str) -> None:
    attention, (query, memory) = make_attention(score), queries_and_memory()
    found = attention.scores(query, attention.keys(memory))
    assert found.shape == (B, T, S)
    for b in range(B):
        for t in range(T):
            for s in range(S):
                expected = by_formula(attention, query[b, t], memory[b, s])
                assert float(found[b, t, s].detach()) == pytest.approx(expected, rel=0, abs=1e-5)


@scores
@hardness
def test_weights_sum_to_one_and_are_exactly_zero_at_padding(
    make_attention: MakeAttention, score: str, is_hard: bool
) -> None:
    attention, (query, memory) = make_attention(score, is_hard=is_hard), queries_and_memory()
    is_padding = torch.arange(S) >= torch.tensor([[S], [1]])
    context, weights = attention(query, attention.keys(memory), memory, is_padding)
    assert torch.all(weights.masked_select(is_padding[:, None]) == 0)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(B, T))
    torch.testing.assert_close(context, torch.einsum("bts,bse->bte", weights, memory))
    torch.testing.assert_close(context[1], memory[1, :1].expand(T, -1))  # one position is all there is


@scores
def test_what_stands_at_padding_does_not_matter(make_attention: MakeAttention, score: str) -> None:
    attention, (query, memory) = make_attention(score), queries_and_memory()
    is_padding = torch.arange(S) >= torch.tensor([[S - 1], [2]])
    noisy = torch.where(is_padding[:, :, None], 50 * torch.ones(()), memory)
    expected = attention(query, attention.keys(memory), memory, is_padding)[0]
    found = attention(query, attention.keys(noisy), noisy, is_padding)[0]
    assert torch.equal(found, expected)


@scores
def test_hard_attention_takes_the_best_position_alone(make_attention: MakeAttention, score: str) -> None:
    attention, (query, memory) = make_attention(score, is_hard=True), queries_and_memory()
    keys = attention.keys(memory)
    context, weights = attention(query, keys, memory, None)
    best = attention.scores(query, keys).argmax(dim=-1)  # (B, T)
    assert torch.equal(weights, torch.nn.functional.one_hot(best, S).float())
    assert torch.equal(context, memory.gather(1, best[:, :, None].expand(-1, -1, E)))


@scores
def test_hard_attention_looks_hard_in_training_too_and_learns_straight_through(
    make_attention: MakeAttention, score: str
) -> None:
    query, memory = queries_and_memory()
    query.requires_grad_()
    gradients = []
    for is_hard in (True, False):
        attention = make_attention(score, is_hard=is_hard).train()
        context, weights = attention(query, attention.keys(memory), memory, None)
        if is_hard:
            torch.testing.assert_close(weights.max(dim=-1).values, torch.ones(B, T))
        (gradient,) = torch.autograd.grad(context.sum(), query)
        gradients.append(gradient)
    hard, soft = gradients
    assert float(hard.abs().max()) > 1e-3
    torch.testing.assert_close(hard, soft)  # the context is linear in the weights: the softmax's own


def test_length_of_vectors_does_not_change_a_cosine(make_attention: MakeAttention) -> None:
    attention, (query, memory) = make_attention("cosine"), queries_and_memory()
    expected = attention.scores(query, attention.keys(memory))
    found = attention.scores(9 * query, attention.keys(0.3 * memory))
    torch.testing.assert_close(found, expected)


@scores
def test_keys_apart_from_the_memory_are_those_that_differ_from_it(
    make_attention: MakeAttention, score: str
) -> None:
    attention, (_, memory) = make_attention(score), queries_and_memory()
    assert attention.has_keys == (not torch.equal(attention.keys(memory), memory))
