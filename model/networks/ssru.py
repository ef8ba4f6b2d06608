"""The simpler simple recurrent unit: a decoder's memory of its target in one vector, without a product."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SSRU(nn.Module):
    """c_t = g·c_{t-1} + (1 - g)·u with u = W x and g = sigmoid(W_g x + b); its output is relu(c_t).

    Both products read x alone: they can run over all positions at once, and only c is carried on. Before the
    first position c is zero.

    Source: Kim et al. 2019, "From Research to Production and Back: Ludicrously Fast Neural Machine
        Translation", section 3.1, after the SRU of Lei et al. 2018, arXiv:1709.02755.
    """

    def __init__(self, model_size: int) -> None:
        super().__init__()
        self.candidate = nn.Linear(model_size, model_size, bias=False)
        self.keep_gate = nn.Linear(model_size, model_size)

    def forward(self, x: Tensor) -> Tensor:
        """Run over whole targets, x (B, T, E): the output at each position (B, T, E)."""
        candidates, keep = self.candidate(x), torch.sigmoid(self.keep_gate(x))  # (B, T, E)
        state = torch.zeros_like(x[:, 0])  # (B, E)
        states = []
        for t in range(x.shape[1]):
            state = next_state(state, candidates[:, t], keep[:, t])
            states.append(state)
        return torch.stack(states, dim=1).relu()  # (B, T, E)


def next_state(state: Tensor, candidate: Tensor, keep: Tensor) -> Tensor:
    """Advance c by one token, all of one shape (..., E); `keep` is g, the share of the old state.

    >>> next_state(torch.tensor([4.0]), torch.tensor([8.0]), torch.tensor([0.75])).tolist()
    [5.0]
    """
    return keep * state + (1 - keep) * candidate
