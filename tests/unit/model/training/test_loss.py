"""The loss leaves out what a model cannot say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model.training.batches import IGNORED
from model.training.loss import smoothed_loss


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(1))


def test_it_is_pytorchs_where_all_can_be_said(logits: torch.Tensor) -> None:
    target = torch.tensor([0, IGNORED, 6, 3, IGNORED])
    expected = nn.functional.cross_entropy(
        logits, target, ignore_index=IGNORED, label_smoothing=0.2, reduction="sum"
    )
    assert smoothed_loss(logits, target, smoothing=0.2) == expected


@pytest.mark.parametrize("ruled_out", [(2,), (0, 6), (1, 2, 5)])
def test_tokens_that_are_ruled_out_get_no_mass(logits: torch.Tensor, ruled_out: tuple[int, ...]) -> None:
    logits[:, ruled_out] = -torch.inf
    said = [i for i in range(7) if i not in ruled_out]
    targets = [3, 4, IGNORED, ruled_out[0], 3]
    log_probs = logits[:, said].log_softmax(dim=-1)
    expected = sum(
        -(0.8 * log_probs[row, said.index(target)] + 0.2 * log_probs[row].mean())
        for row, target in enumerate(targets)
        if target in said
    )
    found = smoothed_loss(logits.requires_grad_(), torch.tensor(targets), smoothing=0.2)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert not logits.grad[:, ruled_out].any()
