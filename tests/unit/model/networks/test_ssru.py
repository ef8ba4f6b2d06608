"""The recurrence of an SSRU against its formula, written out in NumPy."""

from __future__ import annotations

import numpy as np
import torch

from model.networks.ssru import SSRU

E, T = 6, 9


def test_its_outputs_are_those_of_the_formula() -> None:
    torch.manual_seed(4)
    unit = SSRU(E)
    x = torch.randn(2, T, E)
    found = unit(x).detach().numpy()
    weights = {name: tensor.double().numpy() for name, tensor in unit.state_dict().items()}
    for row in range(2):
        state = np.zeros(E)
        for t in range(T):
            here = x[row, t].double().numpy()
            keep = 1 / (1 + np.exp(-(weights["keep_gate.weight"] @ here + weights["keep_gate.bias"])))
            state = keep * state + (1 - keep) * (weights["candidate.weight"] @ here)
            np.testing.assert_allclose(found[row, t], np.maximum(state, 0), rtol=0, atol=1e-5)


def test_an_open_gate_keeps_the_state_and_a_closed_one_replaces_it() -> None:
    unit, x = SSRU(E), torch.randn(1, 3, E)
    with torch.no_grad():
        unit.keep_gate.weight.zero_()
        unit.keep_gate.bias.fill_(40.0)
        assert float(unit(x).abs().max()) < 1e-6  # nothing but the zeros of the beginning
        unit.keep_gate.bias.fill_(-40.0)
        torch.testing.assert_close(unit(x), unit.candidate(x).relu())
