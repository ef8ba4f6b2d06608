"""What a GPU is given: attention that is told each row's length, over pools of heads side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from export.contract.graph_names import GraphName
from export.contract.tensors import TensorSpec
from export.graphs.fused_attention import source_attention
from export.graphs.gpu_attention import counted_attention
from export.graphs.to_onnx import Exported, export_module
from export.precisions import half_graphs
from model.networks.transformer import Transformer

N, H, S, D = 4, 2, 11, 8
E = H * D
LENGTHS = [[1, 1, 1, 1], [11, 1, 4, 8], [2, 6, 7, 3]]
GARBAGE = (0.0, 1e4)
Run = Callable[..., NDArray[np.float16]]


class Counted(nn.Module):
    def forward(self, query: Tensor, keys: Tensor, values: Tensor, length: Tensor) -> Tensor:
        attended: Tensor = counted_attention(query, keys, values, length, H)
        return attended


@pytest.fixture(scope="module")
def node() -> Run:
    """The operator as the exporter writes it."""
    inputs = [
        TensorSpec("query", "float16", ("rows", "beam", E)),
        *(TensorSpec(name, "float16", ("rows", "source_capacity", E)) for name in ("keys", "values")),
        TensorSpec("length", "int64", ("rows",)),
    ]
    exported = export_module(Counted(), inputs, [TensorSpec("context", "float16", ("rows", "beam", E))])
    session = onnxruntime.InferenceSession(
        exported.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def run(*values: Tensor) -> NDArray[np.float16]:
        names = [spec.name for spec in inputs]
        (context,) = session.run(
            None, {name: value.numpy() for name, value in zip(names, values, strict=True)}
        )
        return np.asarray(context)

    return run


def rows_of(lengths: list[int], num_queries: int, size: int = S) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    shapes = ((len(lengths), num_queries, E), (len(lengths), size, E), (len(lengths), size, E))
    query, keys, values = (torch.randn(shape, generator=random).half() for shape in shapes)
    return query, keys, values, torch.tensor(lengths)


@pytest.mark.parametrize("num_queries", [1, 4, 16])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_it_equals_the_operator_of_a_cpu(node: Run, lengths: list[int], num_queries: int) -> None:
    """Of more hypotheses than a source has tokens, too."""
    query, keys, values, length = rows_of(lengths, num_queries)
    by_head = [x.float().unflatten(-1, (H, D)).transpose(1, 2) for x in (keys, values)]
    expected, _, _ = source_attention(query.float(), *by_head, length.int() - 1, num_queries)
    by_pytorch = counted_attention(query.float(), keys.float(), values.float(), length, H)
    np.testing.assert_allclose(by_pytorch, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(node(query, keys, values, length), expected, rtol=0, atol=4e-3)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_what_stands_behind_a_length_is_not_read(node: Run, lengths: list[int]) -> None:
    query, keys, values, length = rows_of(lengths, 4)
    expected = node(query, keys, values, length)
    is_behind = (torch.arange(S) >= length[:, None])[:, :, None]
    for garbage in GARBAGE:
        filled = (x.masked_fill(is_behind, garbage) for x in (keys, values))
        np.testing.assert_array_equal(node(query, *filled, length), expected)


def test_its_shapes_and_schema_are_what_the_exporter_is_told() -> None:
    torch.library.opcheck(
        torch.ops.traghetto.counted_attention.default,
        (*rows_of(LENGTHS[1], 4), H),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.fixture(scope="module")
def half(small_model: Transformer) -> dict[str, Exported]:
    return half_graphs(small_model)


def test_its_graphs_load(half: Mapping[str, Exported]) -> None:
    for graph in half.values():
        onnxruntime.InferenceSession(graph.model.SerializeToString(), providers=["CPUExecutionProvider"])


def nodes_of(graph: Exported, kind: str) -> list[onnx.NodeProto]:
    return [node for node in graph.model.graph.node if node.op_type == kind]


def test_each_attention_over_a_source_is_told_its_length(
    small_model: Transformer, half: Mapping[str, Exported]
) -> None:
    """As a graph's input, in the one place of the operator for it, without a mask or a second output."""
    config = small_model.config
    layers: dict[str, int] = {
        GraphName.ENCODER: config.num_encoder_layers,
        GraphName.DECODER_STEP: config.num_decoder_layers,
    }
    for name, graph in half.items():
        attentions = nodes_of(graph, "Attention")
        assert len(attentions) == layers.get(name, 0), name
        for node in attentions:
            assert list(node.input[3:]) == ["", "", "", "source_length"]
            assert len(node.output) == 1, "a second one would rule out Flash"
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            assert attributes.get("is_causal", 0) == 0


def test_no_attention_has_as_many_positions_as_queries(
    small_model: Transformer, half: Mapping[str, Exported]
) -> None:
    """Where total = query length the operator of caches takes all for new, and reads padded lengths.

    So it stands where there is one query and a cache, and nowhere else.
    """
    for name, graph in half.items():
        caches = nodes_of(graph, "GroupQueryAttention")
        assert len(caches) == (small_model.config.num_decoder_layers if name == GraphName.DECODER_STEP else 0)
        for i, node in enumerate(caches):
            assert list(node.input[1:5]) == ["", "", f"self_key_{i}", f"self_value_{i}"]
            assert _sizes(graph, node.input[0])[1] == 1, "one query"
            assert _axis(graph, node.input[6]) == "columns"


def _producer(graph: Exported, value: str) -> onnx.NodeProto:
    (node,) = (node for node in graph.model.graph.node if value in node.output)
    return node


def _sizes(graph: Exported, value: str) -> list[int]:
    """The shape that a Reshape gives."""
    reshape = _producer(graph, value)
    assert reshape.op_type == "Reshape"
    (shape,) = (x for x in graph.model.graph.initializer if x.name == reshape.input[1])
    return onnx.numpy_helper.to_array(shape).tolist()  # type: ignore[no-any-return]


def _axis(graph: Exported, value: str) -> str:
    """Which axis' size a value is, through casts and squeezes."""
    node = _producer(graph, value)
    if node.op_type != "Shape":
        return _axis(graph, node.input[0])
    start = next(a.i for a in node.attribute if a.name == "start")
    (spec,) = (spec for spec in graph.inputs if spec.name == node.input[0])
    return str(spec.shape[start])


def test_the_source_is_kept_with_its_heads_side_by_side_and_not_returned(
    half: Mapping[str, Exported],
) -> None:
    step = half[GraphName.DECODER_STEP]
    memory = [spec for spec in step.inputs if spec.name.startswith("cross_")]
    assert {spec.shape for spec in memory} == {("rows", "source_capacity", 4, 8)}
    assert not [spec.name for spec in step.outputs if spec.name.startswith("cross_")]
    for kind in ("Transpose", "Slice"):
        assert not nodes_of(half[GraphName.ENCODER], kind)
