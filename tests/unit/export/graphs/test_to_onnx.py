"""Exported graphs keep the contract that a server binds its tensors by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import onnx
import onnxruntime
import pytest

from export.contract.graph_names import GraphName
from export.graphs.all_graphs import export_graphs
from export.graphs.to_onnx import Exported, ExportError, _assert_contract
from model.networks.recurrent import Recurrent

Axes = dict[str, list[str | int]]
PARTS = [f"{part}_{i}" for i in (0, 1) for part in ("key", "value")]
CACHES: Axes = {f"self_{part}": ["hypotheses", 4, "columns", 8] for part in PARTS}
MEMORY: Axes = {f"cross_{part}": ["rows", 4, "source_capacity", 8] for part in PARTS}
SOURCE: Axes = {"source": ["batch", "source_tokens"], "source_length": ["batch"], "slot": ["batch"]}
STEP: Axes = {"token": ["rows", "beam"], "position": ["rows"], "source_length": ["rows"]}
QUERIES: Axes = {f"query_{i}": ["rows", "beam", 32] for i in (0, 1)}
LOGITS: Axes = {"logits": ["rows", "beam", 600]}
PROBABILITIES: Axes = {"log_probs": ["rows", "beam", 600]}
BEST: Axes = {name: ["rows", "beam", "2*beam"] for name in ("best_log_probs", "best_token")}
COPIES: Axes = {name: ["copies"] for name in ("from_hypothesis", "to_hypothesis", "column")}


def written(pools: Axes) -> Axes:
    return {f"{name}_out": axes for name, axes in pools.items()}


def of_all_slots(pools: Axes) -> Axes:
    """As the encoder sees them."""
    return {name: ["slots", *axes[1:]] for name, axes in pools.items()}


SEARCHED: dict[str, tuple[Axes, Axes]] = {
    GraphName.LOG_PROBS: (LOGITS, PROBABILITIES),
    GraphName.CANDIDATES: (PROBABILITIES, BEST),
}
TRANSFORMER = SEARCHED | {
    GraphName.ENCODER: (SOURCE | of_all_slots(MEMORY), written(of_all_slots(MEMORY))),
    GraphName.DECODER_STEP: (
        STEP | CACHES | MEMORY,
        {
            **LOGITS,
            "hidden": ["rows", "beam", 32],
            **QUERIES,
            **written(MEMORY),
            **written(CACHES),
        },
    ),
    GraphName.ATTENTION: (
        {
            "source_length": ["rows"],
            **QUERIES,
            **{f"cross_key_{i}": MEMORY[f"cross_key_{i}"] for i in (0, 1)},
        },
        {f"attention_{i}": ["rows", 4, "beam", "source_capacity"] for i in (0, 1)},
    ),
    GraphName.COPY_CACHES: (COPIES | CACHES, written(CACHES)),
}
STATES: Axes = {f"state_{name}": ["rows", "beam", 2, 32] for name in ("hidden", "cell")}
FIRST: Axes = {f"first_{name}": ["rows", 2, 32] for name in ("hidden", "cell")}
ATTENDED: Axes = {f"source_{kind}": ["rows", "source_capacity", 32] for kind in ("positions", "keys")}
RECURRENT = SEARCHED | {
    GraphName.ENCODER: (SOURCE | of_all_slots(FIRST | ATTENDED), written(of_all_slots(FIRST | ATTENDED))),
    GraphName.DECODER_STEP: (
        STEP | {"parent": ["rows", "beam"]} | STATES | FIRST | ATTENDED,
        {
            **LOGITS,
            "hidden": ["rows", "beam", 24],
            "attention_0": ["rows", 1, "beam", "source_capacity"],
            **written(STATES),
        },
    ),
}
INTEGERS = {*SOURCE, *STEP, *COPIES, "parent", "best_token"}


def assert_axes(exported: Mapping[str, Exported], expected: Mapping[str, tuple[Axes, Axes]]) -> None:
    assert exported.keys() == expected.keys()
    for name, graph in exported.items():
        session = onnxruntime.InferenceSession(
            graph.model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        for values, axes in zip((session.get_inputs(), session.get_outputs()), expected[name], strict=True):
            assert {value.name: value.shape for value in values} == axes, name
            for value in values:
                assert value.type == f"tensor({'int64' if value.name in INTEGERS else 'float'})", value.name


def test_every_input_and_output_has_the_axes_of_the_contract(exported: dict[str, Exported]) -> None:
    assert_axes(exported, TRANSFORMER)


def test_a_model_of_states_has_parents_and_no_caches_to_copy(
    make_recurrent: Callable[..., Recurrent],
) -> None:
    model = make_recurrent(cell="lstm", attention="additive", num_encoder_layers=1)
    assert_axes(export_graphs(model, "float32"), RECURRENT)


def copy(graph: Exported) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    return model


def test_a_frozen_axis_is_an_error(exported: dict[str, Exported]) -> None:
    graph = exported[GraphName.DECODER_STEP]
    model = copy(graph)
    _assert_contract(model, graph.inputs, graph.outputs)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    fault = "input token is int64('rows', 3), must be int64('rows', 'beam')"
    with pytest.raises(ExportError, match=re.escape(fault)):
        _assert_contract(model, graph.inputs, graph.outputs)


def test_every_broken_name_and_type_is_listed(exported: dict[str, Exported]) -> None:
    graph = exported[GraphName.DECODER_STEP]
    model = copy(graph)
    model.graph.input[1].name = "step"
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    cache = next(output for output in model.graph.output if output.name == "self_key_0_out")
    cache.type.tensor_type.shape.dim[2].dim_param = "steps"
    with pytest.raises(ExportError) as caught:
        _assert_contract(model, graph.inputs, graph.outputs)
    for fault in ("inputs are ['token', 'step'", "logits is float16", "'hypotheses', 4, 'steps', 8"):
        assert fault in str(caught.value)


def test_no_graph_names_a_local_path(exported: dict[str, Exported]) -> None:
    for graph in exported.values():
        assert b".py" not in graph.model.SerializeToString()
        assert all(not node.doc_string and not node.metadata_props for node in graph.model.graph.node)
