"""One step of the recurrent cells, written out: PyTorch's own modules run whole sentences only."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
State = tuple[Tensor, ...]


def num_states(cell: str) -> int:
    """How many vectors a cell carries from step to step: an LSTM has its cell beside the hidden state.

    >>> num_states("lstm"), num_states("gru")
    (2, 1)
    """
    return 2 if cell == "lstm" else 1


def stack_step(stack: nn.RNNBase, x: Tensor, state: State) -> tuple[Tensor, State]:
    """Advance stacked cells by one token.

    Args:
        stack: nn.RNN, nn.LSTM or nn.GRU of one direction, L layers of size h; its weights are used.
        x: (..., I), the input of the first layer.
        state: One or two tensors (..., L, h).

    Returns:
        The last layer's hidden state (..., h), and the new state.
    """
    step = {"RNN_TANH": _rnn_step, "LSTM": _lstm_step, "GRU": _gru_step}[stack.mode]
    layers = []
    for i in range(stack.num_layers):
        if i and stack.dropout:
            x = functional.dropout(x, stack.dropout, stack.training)
        new = step(stack, i, x, tuple(s[..., i, :] for s in state))
        layers.append(new)
        x = new[0]
    return x, tuple(torch.stack(vectors, dim=-2) for vectors in zip(*layers, strict=True))


def _products(stack: nn.RNNBase, layer: int, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """W_i x + b_i and W_h h + b_h, all gates of the layer side by side."""
    weights = [
        cast("Tensor", getattr(stack, f"{n}_l{layer}"))
        for n in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    ]
    return functional.linear(x, weights[0], weights[1]), functional.linear(hidden, weights[2], weights[3])


def _rnn_step(stack: nn.RNNBase, layer: int, x: Tensor, state: State) -> State:
    """A plain unit, h = tanh(W_i x + W_h h + b) (Elman 1990)."""
    from_input, from_state = _products(stack, layer, x, state[0])
    return (torch.tanh(from_input + from_state),)


def _lstm_step(stack: nn.RNNBase, layer: int, x: Tensor, state: State) -> State:
    """An LSTM, c = f·c + i·g, h = o·tanh(c) (Hochreiter & Schmidhuber 1997; f from Gers et al. 2000)."""
    from_input, from_state = _products(stack, layer, x, state[0])
    i, f, g, o = (from_input + from_state).chunk(4, dim=-1)
    cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru_step(stack: nn.RNNBase, layer: int, x: Tensor, state: State) -> State:
    """A GRU, h = (1 - z)·n + z·h, n = tanh(W x + r·(W h + b)) (Cho et al. 2014, but for r after W h)."""
    from_input, from_state = _products(stack, layer, x, state[0])
    r_input, z_input, n_input = from_input.chunk(3, dim=-1)
    r_state, z_state, n_state = from_state.chunk(3, dim=-1)
    z = torch.sigmoid(z_input + z_state)
    candidate = torch.tanh(n_input + torch.sigmoid(r_input + r_state) * n_state)
    return ((1 - z) * candidate + z * state[0],)
