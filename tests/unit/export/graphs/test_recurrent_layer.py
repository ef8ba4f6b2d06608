"""The recurrent operator equals PyTorch's packed sequences, and ONNX Runtime's node equals both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from export.graphs.all_graphs import export_encoder
from export.graphs.of_model import graphs_of
from export.graphs.recurrent_layer import layer_weights, recurrent_layer
from export.quantize.matrices import quantize_graph
from model.networks.cells import CELLS
from model.networks.recurrent import Recurrent

S, B, INPUT, H = 7, 4, 5, 6
LENGTH = torch.tensor([7, 1, 4, 6], dtype=torch.int32)

every_cell = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])


def random_input(seed: int = 1) -> Tensor:
    return torch.randn(S, B, INPUT, generator=torch.Generator().manual_seed(seed))


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_equals_pytorchs_packed_sequences(cell: str, bidirectional: bool) -> None:
    stack = CELLS[cell](INPUT, H, bidirectional=bidirectional)
    x = random_input()
    packed, state = stack(pack_padded_sequence(x, LENGTH, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, total_length=S)
    states, last = recurrent_layer(x, LENGTH, *layer_weights(stack, cell, 0), cell)
    torch.testing.assert_close(states.transpose(1, 2).flatten(2), expected, rtol=0, atol=1e-6)
    hidden = state[0] if isinstance(state, tuple) else state
    torch.testing.assert_close(last, hidden, rtol=0, atol=1e-6)


@every_cell
def test_its_shapes_and_schema_are_what_the_exporter_is_told(cell: str) -> None:
    stack = CELLS[cell](INPUT, H, bidirectional=True)
    torch.library.opcheck(
        torch.ops.traghetto.recurrent_layer.default,
        (random_input(), LENGTH, *layer_weights(stack, cell, 0), cell),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.parametrize(("cell", "node"), [("rnn", "RNN"), ("lstm", "LSTM"), ("gru", "GRU")])
def test_int8_keeps_the_encoder_near_fp32_and_stores_its_matrices_as_bytes(
    make_recurrent: Callable[..., Recurrent], cell: str, node: str
) -> None:
    model = make_recurrent(cell=cell)
    exported = export_encoder(graphs_of(model), "float32").model
    smaller = quantize_graph(exported)
    assert sum(n.op_type == node for n in smaller.graph.node) == model.config.num_encoder_layers
    assert not [
        i.name for i in smaller.graph.initializer if len(i.dims) == 3 and i.data_type == 1 and i.dims[2] > 1
    ]
    sizes = {"rows": 3, "source_capacity": 16}
    feeds = {
        "source": np.arange(4, 28).reshape(3, 8),
        "source_length": np.array([8, 3, 5]),
        "slot": np.arange(3),
        **{
            spec.name: np.zeros([sizes[a] if isinstance(a, str) else a for a in spec.shape], np.float32)
            for spec in graphs_of(model).pools.memory
        },
    }
    providers = ["CPUExecutionProvider"]
    found, expected = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=providers).run(None, feeds)
        for m in (smaller, exported)
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert 0 < float(np.abs(np.asarray(ours) - np.asarray(theirs)).max()) < 0.15
