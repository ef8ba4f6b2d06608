"""ONNX's RNN, LSTM and GRU over sources of mixed lengths as one PyTorch operator.

PyTorch's own way to mixed lengths, packed sequences, does not export.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from export.graphs.opset import opset
from model.networks.cells import CELLS

# The gates of a cell as ONNX orders them, by their place in PyTorch: input, output, forget, cell against
# input, forget, cell, output; update, reset, new against reset, update, new.
_ONNX_GATES = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}


def layer_weights(stack: nn.RNNBase, cell: str, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """A layer's weights as ONNX lays them out, D directions of G gates.

    Returns:
        From the input (D, G·h, I), from the state (D, G·h, h), and both biases (D, 2·G·h).
    """
    suffixes = [f"l{layer}", *([f"l{layer}_reverse"] if stack.bidirectional else [])]

    def stacked(name: str) -> Tensor:
        return torch.stack([_reorder(getattr(stack, f"{name}_{s}"), _ONNX_GATES[cell]) for s in suffixes])

    biases = torch.cat((stacked("bias_ih"), stacked("bias_hh")), dim=1)
    return stacked("weight_ih").detach(), stacked("weight_hh").detach(), biases.detach()


def _reorder(weight: Tensor, gates: tuple[int, ...]) -> Tensor:
    parts = weight.chunk(len(gates))
    return torch.cat([parts[gate] for gate in gates])


@torch.library.custom_op("traghetto::recurrent_layer", mutates_args=())
def recurrent_layer(
    x: Tensor, length: Tensor, from_input: Tensor, from_state: Tensor, bias: Tensor, cell: str
) -> tuple[Tensor, Tensor]:
    """One layer in D directions over b sources; the backward one starts at each source's own end.

    Args:
        x: (s, b, I).
        length: (b), int32.
        from_input, from_state, bias: See `layer_weights`.
        cell: rnn, lstm or gru.

    Returns:
        The states at each position (s, D, b, h), zero behind the length, and the last ones (D, b, h).

    Source: ONNX operators RNN, LSTM and GRU; GRU with linear_before_reset = 1.
    """
    directions, _, size = from_state.shape
    stack = CELLS[cell](x.shape[2], size, bidirectional=directions == 2)
    to_torch = tuple(_ONNX_GATES[cell].index(gate) for gate in range(len(_ONNX_GATES[cell])))
    with torch.no_grad():
        for d, suffix in enumerate(("l0", "l0_reverse")[:directions]):
            biases = bias[d].chunk(2)
            for name, weight in (
                ("weight_ih", from_input[d]),
                ("weight_hh", from_state[d]),
                ("bias_ih", biases[0]),
                ("bias_hh", biases[1]),
            ):
                getattr(stack, f"{name}_{suffix}").copy_(_reorder(weight, to_torch))
        packed, state = stack(pack_padded_sequence(x, length.cpu(), enforce_sorted=False))
        states, _ = pad_packed_sequence(packed, total_length=x.shape[0])  # (s, b, D·h)
    last = state[0] if isinstance(state, tuple) else state
    return states.unflatten(-1, (directions, size)).transpose(1, 2).contiguous(), last.clone()


@recurrent_layer.register_fake
def _(
    x: Tensor,
    length: Tensor,  # noqa: ARG001  the operator's arguments
    from_input: Tensor,  # noqa: ARG001
    from_state: Tensor,
    bias: Tensor,  # noqa: ARG001
    cell: str,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    directions, _, size = from_state.shape
    return x.new_empty(x.shape[0], directions, x.shape[1], size), x.new_empty(directions, x.shape[1], size)


def _to_onnx(x: Any, length: Any, from_input: Any, from_state: Any, bias: Any, cell: str) -> Any:
    directions, _, size = from_state.shape
    attributes = {"hidden_size": size, "direction": "bidirectional" if directions == 2 else "forward"}
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    operator = getattr(opset, cell.upper())
    return operator(x, from_input, from_state, bias, length, **attributes)[:2]


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How the exporter writes the operator: as one node."""
    return {torch.ops.traghetto.recurrent_layer.default: _to_onnx}
