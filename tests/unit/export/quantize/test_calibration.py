"""Calibration sees what PyTorch's own modules get when they translate the same sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from export.contract.graph_names import GraphName
from export.graphs.fused_attention import packed_projection, scaled_query
from export.graphs.of_model import graphs_of
from export.graphs.to_onnx import Exported
from export.proof.sentences import Sentence, prepare
from export.quantize.calibration import Largest, largest_values
from export.quantize.matrices import quantize_graph, weight_key
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import DecoderLayer, EncoderLayer, Transformer
from model.text.sentencepiece_tokenizer import START_ID
from model.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def sentences(short_pairs: list[tuple[str, str]], tokenizer: Tokenizer) -> list[Sentence]:
    return prepare(short_pairs, tokenizer)[:12]


def key_of(layer: nn.Linear) -> str:
    return weight_key(layer.weight.T.numpy())


def exported_as(model: EncoderDecoder) -> dict[nn.Linear, str]:
    """A linear layer's key in the graphs: attention's queries are scaled, and in self-attention joined."""
    keys = {module: key_of(module) for module in model.modules() if isinstance(module, nn.Linear)}
    for layer in model.modules():
        if isinstance(layer, EncoderLayer | DecoderLayer):
            attention = layer.self_attention
            packed = key_of(packed_projection(attention))
            keys |= dict.fromkeys((attention.query, attention.key, attention.value), packed)
        if isinstance(layer, DecoderLayer):
            keys[layer.cross_attention.query] = key_of(scaled_query(layer.cross_attention))
    return keys


@dataclass(frozen=True)
class Seen:
    """The largest absolute values that linear layers took, by their keys in the graphs, and gave."""

    inputs: Largest = field(default_factory=dict)
    outputs: dict[nn.Module, float] = field(default_factory=dict)


@torch.inference_mode()
def seen_by_pytorch(model: EncoderDecoder, tokenizer: Tokenizer, sentences: Sequence[Sentence]) -> Seen:
    """Every sentence whole, encoded and fed its reference in one go."""
    keys, found = exported_as(model), Seen()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Linear)
        key = keys[module]
        found.inputs[key] = max(found.inputs.get(key, 0.0), float(inputs[0].abs().max()))
        found.outputs[module] = max(found.outputs.get(module, 0.0), float(output.abs().max()))

    handles = [module.register_forward_hook(record) for module in keys]
    for sentence in sentences:
        target = [START_ID, *tokenizer.encode_target(sentence.reference)[:-1]]
        model(torch.tensor([sentence.source]), torch.tensor([target]))
    for handle in handles:
        handle.remove()
    return found


def in_pools(model: Transformer, seen: Seen) -> Largest:
    """What keys and values of the decoder's layers get to be is what their projections gave."""
    found = {}
    for i, layer in enumerate(model.decoder_layers):
        assert isinstance(layer, DecoderLayer)
        for name, attention in (("self", layer.self_attention), ("cross", layer.cross_attention)):
            found[f"{name}_key_{i}"] = seen.outputs[attention.key]
            found[f"{name}_value_{i}"] = seen.outputs[attention.value]
    return found


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_it_sees_what_a_transformers_layers_get(
    make_model: Callable[..., Transformer], tokenizer: Tokenizer, sentences: list[Sentence], norm: str
) -> None:
    model = make_model(norm=norm)
    found = largest_values(graphs_of(model), tokenizer, sentences)
    seen = seen_by_pytorch(model, tokenizer, sentences)
    assert found == pytest.approx(seen.inputs | in_pools(model, seen), rel=1e-4)
    # In each encoder layer 4, in each decoder layer 8 (three of attention packed as one), and the output.
    assert len(seen.inputs) == 2 * 4 + 2 * 8 + 1
    assert len(found) == len(seen.inputs) + 2 * 4


@pytest.mark.parametrize(
    "fields",
    [
        {"cell": "lstm", "attention": "general"},
        {"cell": "gru", "attention": "additive", "decoder": "bahdanau", "bidirectional": False},
        {"cell": "rnn", "attention": "none", "context": "every_step", "reverse_source": True},
    ],
    ids=["lstm", "bahdanau", "one vector"],
)
def test_it_sees_what_a_recurrent_models_layers_get(
    make_recurrent: Callable[..., Recurrent],
    tokenizer: Tokenizer,
    sentences: list[Sentence],
    fields: dict[str, object],
) -> None:
    model = make_recurrent(**fields)
    found = largest_values(graphs_of(model), tokenizer, sentences)
    inputs = seen_by_pytorch(model, tokenizer, sentences).inputs
    assert {key: found[key] for key in inputs} == pytest.approx(inputs, rel=1e-4)
    pools = graphs_of(model).pools
    names = {spec.name for spec in (*pools.states, *pools.memory)}
    assert found.keys() == inputs.keys() | names
    assert all(found[name] > 0 for name in names)


def test_it_watches_no_longer_than_it_runs(
    small_model: Transformer, tokenizer: Tokenizer, sentences: list[Sentence]
) -> None:
    largest_values(graphs_of(small_model), tokenizer, sentences[:1])
    assert not [module for module in small_model.modules() if module._forward_pre_hooks]


@pytest.mark.parametrize("only_bounded", [False, True])
def test_every_product_of_a_transformer_gets_a_constant_scale_or_every_layer_norms_alone(
    small_model: Transformer,
    exported: dict[str, Exported],
    tokenizer: Tokenizer,
    sentences: list[Sentence],
    *,
    only_bounded: bool,
) -> None:
    """The keys that calibration gives are those that the exporter's matrices have."""
    largest = largest_values(graphs_of(small_model), tokenizer, sentences)
    for name in (GraphName.ENCODER, GraphName.DECODER_STEP):
        nodes = exported[name].model.graph.node
        normed = {output for node in nodes if node.op_type == "LayerNormalization" for output in node.output}
        multiplied = {node.input[0] for node in nodes if node.op_type in {"MatMul", "Gemm"}}
        assert multiplied & normed
        assert multiplied - normed
        smaller = quantize_graph(exported[name].model, largest, only_bounded=only_bounded).graph
        constant = {i.name.removesuffix("_step") for i in smaller.initializer if i.name.endswith("_step")}
        by_row = {node.input[0] for node in smaller.node if node.op_type == "Div"}
        assert constant - {"int8"} == (multiplied & normed if only_bounded else multiplied), name
        assert by_row == (multiplied - normed if only_bounded else set()), name
