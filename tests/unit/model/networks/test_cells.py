"""Steps written out against PyTorch's own modules."""

from __future__ import annotations

import pytest
import torch

from model.networks.cells import CELLS, num_states, stack_step

B, T, INPUT, HIDDEN = 3, 5, 6, 8
cells = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])


@pytest.mark.parametrize("num_layers", [1, 3])
@cells
def test_steps_give_what_pytorch_gives_for_the_whole_sentence(cell: str, num_layers: int) -> None:
    torch.manual_seed(1)
    stack = CELLS[cell](INPUT, HIDDEN, num_layers, batch_first=True)
    x = torch.randn(B, T, INPUT)
    state = tuple(torch.randn(B, num_layers, HIDDEN) for _ in range(num_states(cell)))
    first = tuple(s.transpose(0, 1).contiguous() for s in state)  # (L, B, h)
    expected, last = stack(x, first if cell == "lstm" else first[0])
    for t in range(T):
        top, state = stack_step(stack, x[:, t], state)
        torch.testing.assert_close(top, expected[:, t], rtol=0, atol=1e-6)
    for ours, theirs in zip(state, last if cell == "lstm" else (last,), strict=True):
        torch.testing.assert_close(ours, theirs.transpose(0, 1), rtol=0, atol=1e-6)


@cells
def test_a_beam_of_states_steps_like_each_alone(cell: str) -> None:
    torch.manual_seed(1)
    stack = CELLS[cell](INPUT, HIDDEN, 2, batch_first=True)
    x = torch.randn(B, 4, INPUT)
    state = tuple(torch.randn(B, 4, 2, HIDDEN) for _ in range(num_states(cell)))
    top, new = stack_step(stack, x, state)  # (B, K, h)
    for k in range(4):
        alone, alone_new = stack_step(stack, x[:, k], tuple(s[:, k] for s in state))
        torch.testing.assert_close(top[:, k], alone, rtol=0, atol=1e-6)
        for ours, theirs in zip(new, alone_new, strict=True):
            torch.testing.assert_close(ours[:, k], theirs, rtol=0, atol=1e-6)


@cells
def test_dropout_between_layers_acts_in_training_only(cell: str) -> None:
    torch.manual_seed(1)
    stack = CELLS[cell](INPUT, HIDDEN, 2, batch_first=True, dropout=0.5)
    x, state = torch.randn(B, INPUT), tuple(torch.zeros(B, 2, HIDDEN) for _ in range(num_states(cell)))
    stack.eval()
    settled = stack_step(stack, x, state)[0]
    assert torch.equal(stack_step(stack, x, state)[0], settled)
    stack.train()
    assert not torch.equal(stack_step(stack, x, state)[0], settled)


def test_an_lstm_alone_carries_two_vectors() -> None:
    assert {cell: num_states(cell) for cell in CELLS} == {"rnn": 1, "lstm": 2, "gru": 1}
