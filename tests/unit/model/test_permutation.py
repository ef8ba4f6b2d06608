"""Order, which a recurrent encoder reads and a Transformer must be told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from model.networks.transformer import Transformer

ORDER = torch.tensor([4, 0, 6, 2, 5, 1, 3])
SOURCE = torch.tensor([[4, 17, 30, 99, 251, 6, 3]])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_without_positions_permuting_the_source_only_permutes_the_encoding(
    make_model: Callable[..., Transformer], norm: str
) -> None:
    model = make_model(norm=norm, positions="none")
    permuted, expected = model.encode(SOURCE[:, ORDER]), model.encode(SOURCE)[:, ORDER]
    torch.testing.assert_close(permuted, expected, rtol=0, atol=1e-4)


def test_without_positions_no_logit_tells_the_order_of_the_source(
    make_model: Callable[..., Transformer],
) -> None:
    model, target = make_model(positions="none"), torch.tensor([[2, 8, 9]])
    torch.testing.assert_close(model(SOURCE[:, ORDER], target), model(SOURCE, target), rtol=0, atol=1e-4)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_with_positions_it_does_more(make_model: Callable[..., Transformer], positions: str) -> None:
    model = make_model(positions=positions)
    permuted, unchanged = model.encode(SOURCE[:, ORDER]), model.encode(SOURCE)[:, ORDER]
    assert float((permuted - unchanged).abs().max()) > 0.1
