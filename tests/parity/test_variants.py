"""Every kind of Transformer that can be configured exports to graphs that agree with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from export import proof
from export.artifact import export_graphs
from export.graph_model import GraphModel
from export.onnx_graph import Exported
from model.transformer import Transformer

OpenGraphs = Callable[[Transformer, Mapping[str, Exported]], GraphModel]


@pytest.mark.parametrize(
    ("norm", "activation", "positions", "num_heads", "tie_embeddings"),
    [
        ("post", "gelu", "learned", 1, False),
        ("pre", "silu", "learned", 2, True),
        ("post", "relu", "sinusoidal", 4, True),
    ],
)
def test_a_variant_exports_and_agrees_with_pytorch(
    make_model: Callable[..., Transformer],
    open_graphs: OpenGraphs,
    sentences: list[proof.Sentence],
    norm: str,
    activation: str,
    positions: str,
    num_heads: int,
    *,
    tie_embeddings: bool,
) -> None:
    model = make_model(
        norm=norm,
        activation=activation,
        positions=positions,
        max_positions=64,
        num_heads=num_heads,
        tie_embeddings=tie_embeddings,
        num_encoder_layers=1,
        num_decoder_layers=1,
    )
    graphs = open_graphs(model, export_graphs(model, "float32"))
    proof.require(proof.log_prob_checks(model, graphs, sentences))
