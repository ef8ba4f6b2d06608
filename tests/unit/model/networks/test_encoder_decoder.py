"""What both architectures promise alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from model.networks.encoder_decoder import EncoderDecoder

every_architecture = pytest.mark.parametrize("architecture", ["make_model", "make_recurrent"])


@pytest.fixture
def model(request: pytest.FixtureRequest, architecture: str) -> EncoderDecoder:
    make: Callable[..., EncoderDecoder] = request.getfixturevalue(architecture)
    return make()


def random_ids(rows: int, length: int, seed: int) -> Tensor:
    return torch.randint(4, 600, (rows, length), generator=torch.Generator().manual_seed(seed))


@every_architecture
def test_attention_is_exactly_zero_at_padding_and_sums_to_one(model: EncoderDecoder) -> None:
    is_padding = torch.arange(7) >= torch.tensor([7, 2, 5])[:, None]
    memory = model.encode(random_ids(3, 7, 1), is_padding)
    decoded = model.decode_states(random_ids(3, 4, 2), memory, is_padding)
    assert decoded.attention
    for weights in decoded.attention:  # (B, H, T, S)
        hidden = is_padding[:, None, None].expand_as(weights)
        assert bool((weights[hidden] == 0).all())
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]), rtol=0, atol=1e-5)


@every_architecture
def test_one_memory_serves_many_prefixes(model: EncoderDecoder) -> None:
    memory, prefixes = model.encode(random_ids(1, 6, 3)), random_ids(5, 4, 4)
    log_probs, hidden = model.decode_step_with_hidden(prefixes, memory)
    for row in range(5):
        alone: Any = model.decode_step_with_hidden(prefixes[row : row + 1], memory)
        torch.testing.assert_close(log_probs[row], alone[0][0], rtol=0, atol=1e-4)
        torch.testing.assert_close(hidden[row], alone[1][0], rtol=0, atol=1e-4)
    torch.testing.assert_close(model.decode_step(prefixes, memory), log_probs, rtol=0, atol=0)
    torch.testing.assert_close(model.output(hidden).log_softmax(dim=-1), log_probs, rtol=0, atol=1e-5)
