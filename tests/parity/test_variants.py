"""Whatever kind of model can be configured exports to graphs that agree with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch

from export.graphs.all_graphs import export_graphs
from export.graphs.to_onnx import Exported
from export.precisions import int8_graphs
from export.proof.checks import require
from export.proof.graph_model import GraphModel
from export.proof.sentences import Sentence
from export.proof.step_checks import log_prob_checks, neighbour_checks
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer
from model.text.sentencepiece_tokenizer import UNKNOWN_ID
from model.text.tokenizer import Tokenizer

OpenGraphs = Callable[[EncoderDecoder, Mapping[str, Exported]], GraphModel]


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
    tokenizer: Tokenizer,
    sentences: list[Sentence],
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
    agrees_and_keeps_to_its_rows(model, tokenizer, open_graphs, sentences)


@pytest.mark.parametrize(
    "fields",
    [
        {"decoder_layer": "ssru", "start_embedding": "zero", "output_bias": True, "norm_epsilon": 1e-9}
        | {"norm": "post", "position_layout": "halves", "position_denominator": "half_less_one"},
        {"decoder_layer": "ssru", "tie_embeddings": False},
        {"start_embedding": "zero", "output_bias": True},
    ],
    ids=["as Marian's students", "ssru", "zero start"],
)
def test_a_variant_of_the_decoder_exports_and_agrees_with_pytorch(
    make_model: Callable[..., Transformer],
    open_graphs: OpenGraphs,
    tokenizer: Tokenizer,
    sentences: list[Sentence],
    fields: dict[str, object],
) -> None:
    model = make_model(**fields)
    if model.config.output_bias:
        with torch.no_grad():
            model.output.bias.normal_()
            model.output.bias[UNKNOWN_ID] = -torch.inf
    agrees_and_keeps_to_its_rows(model, tokenizer, open_graphs, sentences)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(
    "fields",
    [
        {"attention": "none", "context": "every_step", "reverse_source": True, "bidirectional": False},
        {"attention": "additive", "decoder": "bahdanau", "tie_embeddings": False},
        {"attention": "cosine", "hard_attention": True, "reverse_source": True, "context": "every_step"},
    ],
    ids=["one vector", "bahdanau", "hard"],
)
def test_a_recurrent_variant_exports_and_agrees_with_pytorch(
    make_recurrent: Callable[..., Recurrent],
    open_graphs: OpenGraphs,
    tokenizer: Tokenizer,
    sentences: list[Sentence],
    cell: str,
    fields: dict[str, object],
) -> None:
    model = make_recurrent(cell=cell, **fields)
    agrees_and_keeps_to_its_rows(model, tokenizer, open_graphs, sentences)


def agrees_and_keeps_to_its_rows(
    model: EncoderDecoder, tokenizer: Tokenizer, open_graphs: OpenGraphs, sentences: list[Sentence]
) -> None:
    """In fp32 it gives PyTorch's numbers; in fp32 and both forms of int8 neighbours change not one bit."""
    exported = export_graphs(model, "float32")
    graphs = open_graphs(model, exported)
    require(log_prob_checks(model, graphs, sentences))
    require(neighbour_checks(model, graphs, sentences))
    for smaller in int8_graphs(model, tokenizer, exported, sentences):
        require(neighbour_checks(model, open_graphs(model, smaller), sentences))
