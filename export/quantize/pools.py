"""int8 keys and values: attention reads a quarter of the bytes, and pools take a quarter of the memory.

Each pool has one scale, a constant that `export/quantize/calibration.py` measured; what is beyond is cut.
ONNX Runtime multiplies queries with the integers, and quantizes what a step appends to a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from export.contract.tensors import TensorSpec
from export.graphs.to_onnx import Exported

_TYPE = "int8"
_SCALES_AT = 12  # the inputs k_scale and v_scale of GroupQueryAttention
_PAST_AT = 3  # its inputs past_key and past_value


def quantize_pools(graph: Exported, largest: Mapping[str, float]) -> Exported:
    """A copy of a graph that keeps pools as int8.

    Args:
        graph: Reads them with GroupQueryAttention, writes them with it or with ScatterND, or does neither.
        largest: The largest absolute value that each of these pools holds, by its name.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    names = {spec.name for spec in graph.inputs} & largest.keys()
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += _quantized(node, names)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name in sorted(names):
        scale = np.array([largest[name] / 127.0], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(scale, _scale(name)))
    for value in (*model.graph.input, *model.graph.output):
        if _pool(value.name) in names:
            value.type.tensor_type.elem_type = onnx.TensorProto.INT8
    return Exported(model, _typed(graph.inputs, names), _typed(graph.outputs, names))


def _quantized(node: NodeProto, names: set[str]) -> list[NodeProto]:
    """The nodes that take the place of one."""
    if not names & set(node.input) or node.op_type == "Shape":
        return [node]
    result = NodeProto()
    result.CopyFrom(node)
    if node.op_type == "GroupQueryAttention":
        pools = result.input[_PAST_AT : _PAST_AT + 2]
        result.input.extend([""] * (_SCALES_AT - len(result.input)))
        result.input.extend(_scale(name) for name in pools)
        for name in ("k_quant_type", "v_quant_type"):
            result.attribute.append(helper.make_attribute(name, "PER_TENSOR"))
        result.attribute.append(helper.make_attribute("kv_cache_bit_width", 8))
        return [result]
    if node.op_type == "ScatterND":
        pool, _, update = node.input
        result.input[2] = f"{update}_{_TYPE}"
        return [_linear("QuantizeLinear", update, pool, result.input[2]), result]
    read = sorted(names & set(node.input))
    for i, name in enumerate(node.input):
        if name in names:
            result.input[i] = f"{node.name}_{name}"
    return [*(_linear("DequantizeLinear", name, name, f"{node.name}_{name}") for name in read), result]


def _linear(op_type: str, value: str, pool: str, output: str) -> NodeProto:
    node = helper.make_node(op_type, [value, _scale(pool)], [output], name=output)
    if op_type == "QuantizeLinear":
        node.attribute.append(helper.make_attribute("output_dtype", onnx.TensorProto.INT8))
    return node


def _scale(pool: str) -> str:
    return f"{pool}_scale"


def _pool(name: str) -> str:
    return name.removesuffix("_out")


def _typed(specs: tuple[TensorSpec, ...], names: set[str]) -> tuple[TensorSpec, ...]:
    return tuple(replace(s, dtype=_TYPE) if _pool(s.name) in names else s for s in specs)
