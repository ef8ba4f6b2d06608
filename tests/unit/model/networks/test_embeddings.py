"""Embeddings against the formulas of the paper."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from model.networks.embeddings import Embedding, LearnedPositions, SinusoidalPositions

E = 16


def test_sinusoid_equals_the_papers_formula() -> None:
    found = SinusoidalPositions(E)(torch.arange(300))  # (300, E)
    for position in (0, 1, 7, 299):
        for i in range(E // 2):
            angle = position / 10000 ** (2 * i / E)
            expected = torch.tensor([math.sin(angle), math.cos(angle)])
            torch.testing.assert_close(found[position, 2 * i : 2 * i + 2], expected, rtol=0, atol=1e-4)


def test_sinusoid_in_halves_ends_at_the_longest_wavelength() -> None:
    found = SinusoidalPositions(E, layout="halves", denominator="half_less_one")(
        torch.arange(300)
    )  # (300, E)
    for position in (0, 1, 7, 299):
        for i in range(E // 2):
            angle = position / 10000 ** (i / (E // 2 - 1))
            expected = torch.tensor([math.sin(angle), math.cos(angle)])
            torch.testing.assert_close(found[position, i :: E // 2], expected, rtol=0, atol=1e-4)


def test_sinusoid_takes_positions_of_any_shape() -> None:
    positions = torch.tensor([[3], [9]])
    found = SinusoidalPositions(E)(positions)
    assert found.shape == (2, 1, E)
    torch.testing.assert_close(found[1, 0], SinusoidalPositions(E)(torch.tensor(9)), rtol=0, atol=0)


def test_sinusoid_of_a_half_precision_model_is_as_exact() -> None:
    positions = torch.arange(256)
    expected = SinusoidalPositions(64)(positions)
    found = SinusoidalPositions(64).half()(positions).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)  # half precision rounds 1 by 5e-4


def test_learned_positions_end_at_their_table() -> None:
    positions = LearnedPositions(8, E)
    torch.testing.assert_close(positions(torch.tensor(7)), positions.weight[7], rtol=0, atol=0)
    with pytest.raises(IndexError):
        positions(torch.tensor(8))


def test_token_embeddings_are_scaled_by_the_root_of_the_model_size() -> None:
    tokens, positions = nn.Embedding(10, E), SinusoidalPositions(E)
    embedding = Embedding(tokens, positions, dropout=0.0)
    ids = torch.tensor([[4, 2, 9]])
    expected = tokens(ids) * 4.0 + positions(torch.arange(3))
    torch.testing.assert_close(embedding(ids, torch.arange(3)), expected, rtol=0, atol=1e-6)
    unscaled = Embedding(tokens, None, dropout=0.0, is_scaled=False)
    torch.testing.assert_close(unscaled(ids), tokens(ids), rtol=0, atol=0)


def test_dropout_acts_in_training_alone() -> None:
    embedding = Embedding(nn.Embedding(10, E), SinusoidalPositions(E), dropout=0.5)
    ids, positions = torch.tensor([[4, 2, 9]]), torch.arange(3)
    num_zeros = int((embedding(ids, positions) == 0).sum())
    assert 0 < num_zeros < 3 * E
    assert not bool((embedding.eval()(ids, positions) == 0).any())


def test_with_a_zero_start_the_first_token_leaves_its_position_alone() -> None:
    tokens, positions = nn.Embedding(10, E), SinusoidalPositions(E)
    embedding = Embedding(tokens, positions, dropout=0.0, has_zero_start=True)
    found = embedding(torch.tensor([[4, 2, 9]]), torch.arange(3))
    torch.testing.assert_close(found[0, 0], positions(torch.tensor(0)), rtol=0, atol=0)
    expected = tokens(torch.tensor([2, 9])) * 4.0 + positions(torch.arange(1, 3))
    torch.testing.assert_close(found[0, 1:], expected, rtol=0, atol=1e-6)
