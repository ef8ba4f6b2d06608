"""Exported graphs keep the contract that a server binds its tensors by."""

from __future__ import annotations

import onnx
import onnxruntime
import pytest

from export.manifest import BEAM, ENCODER, GREEDY
from export.onnx_graph import Exported, ExportError, _assert_contract

Axes = dict[str, list[str | int]]
CACHES: Axes = {f"self_{part}_{i}": ["rows", 4, "columns", 8] for i in (0, 1) for part in ("key", "value")}
MEMORY: Axes = {
    f"cross_{part}_{i}": ["rows", 4, "source_capacity", 8] for i in (0, 1) for part in ("key", "value")
}
STEP: Axes = {"position": ["rows"], "source_length": ["rows"]}

INPUTS: dict[str, Axes] = {
    ENCODER: {
        "source": ["batch", "source_tokens"],
        "source_length": ["batch"],
        "slot": ["batch"],
        **{name: ["slots", *axes[1:]] for name, axes in MEMORY.items()},
    },
    GREEDY: {"token": ["rows", 1], **STEP, **CACHES, **MEMORY},
    BEAM: {
        "token": ["rows", "beam"],
        **STEP,
        "is_ancestor": ["rows", "beam", "columns"],
        **CACHES,
        **MEMORY,
    },
}
OUTPUTS: dict[str, Axes] = {
    ENCODER: {f"{name}_out": ["slots", *axes[1:]] for name, axes in MEMORY.items()},
    GREEDY: {
        "log_probs": ["rows", 1, 600],
        "hidden": ["rows", 1, 32],
        **{f"attention_{i}": ["rows", 4, 1, "source_capacity"] for i in (0, 1)},
        **{f"{name}_out": axes for name, axes in CACHES.items()},
    },
    BEAM: {
        "log_probs": ["rows", "beam", 600],
        "best_log_probs": ["rows", "beam", "2*beam"],
        "best_token": ["rows", "beam", "2*beam"],
        "hidden": ["rows", "beam", 32],
        **{f"attention_{i}": ["rows", 4, "beam", "source_capacity"] for i in (0, 1)},
        **{f"{name}_out": axes for name, axes in CACHES.items()},
    },
}


@pytest.mark.parametrize("name", [ENCODER, GREEDY, BEAM])
def test_every_input_and_output_has_the_axes_of_the_contract(
    exported: dict[str, Exported], name: str
) -> None:
    serialized = exported[name].model.SerializeToString()
    session = onnxruntime.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    assert {value.name: value.shape for value in session.get_inputs()} == INPUTS[name]
    assert {value.name: value.shape for value in session.get_outputs()} == OUTPUTS[name]


def copy(graph: Exported) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    return model


def test_a_frozen_axis_is_an_error(exported: dict[str, Exported]) -> None:
    graph = exported[GREEDY]
    model = copy(graph)
    _assert_contract(model, graph.inputs, graph.outputs)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    with pytest.raises(ExportError, match=r"input token is int64\(3, 1\), must be int64\('rows', 1\)"):
        _assert_contract(model, graph.inputs, graph.outputs)


def test_every_broken_name_and_type_is_listed(exported: dict[str, Exported]) -> None:
    graph = exported[GREEDY]
    model = copy(graph)
    model.graph.input[1].name = "step"
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.graph.output[4].type.tensor_type.shape.dim[2].dim_param = "steps"
    with pytest.raises(ExportError) as caught:
        _assert_contract(model, graph.inputs, graph.outputs)
    for fault in ("inputs are ['token', 'step'", "log_probs is float16", "'rows', 4, 'steps', 8"):
        assert fault in str(caught.value)


def test_no_graph_names_a_local_path(exported: dict[str, Exported]) -> None:
    for graph in exported.values():
        assert b".py" not in graph.model.SerializeToString()
        assert all(not node.doc_string and not node.metadata_props for node in graph.model.graph.node)
