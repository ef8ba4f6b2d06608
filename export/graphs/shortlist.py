"""Graphs for a vocabulary shortlist, cut out of a finished decoder step.

They are the step up to what the output layer reads, that layer's columns of given tokens, and its product
with such columns. Cut out, not exported anew: a token's logit then comes of the very operators, weights and
scales that give it in the whole step, whatever the precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import NodeProto, helper

from export.contract.graph_names import GraphName
from export.contract.tensors import TensorSpec
from export.graphs.to_onnx import Exported, ExportError

LOGITS, HIDDEN = "logits", "hidden"
_PRODUCTS = frozenset({"MatMul", "MatMulIntegerToFloat"})


def shortlist_graphs(step: Exported) -> dict[str, Exported]:
    """The three graphs of a shortlist, cut out of a decoder step in fp32 or int8.

    Raises:
        ExportError: its output layer is not one product of `hidden` with a constant matrix, and perhaps a
            bias.
    """
    layer = _OutputLayer(step)
    return {
        GraphName.DECODER_HIDDEN: layer.without(),
        GraphName.OUTPUT_COLUMNS: layer.columns(),
        GraphName.SHORTLIST_LOGITS: layer.logits(),
    }


class _OutputLayer:
    """The nodes between `hidden` and `logits`: a product, a bias or none; in int8 what quantizes for it."""

    def __init__(self, step: Exported) -> None:
        self.step = step
        self.constants = {i.name: i for i in step.model.graph.initializer}
        nodes = _ancestors(step.model, [LOGITS], stop={HIDDEN})
        read = {name for node in nodes for name in node.input}
        products = [node for node in nodes if node.op_type in _PRODUCTS]
        if len(products) != 1 or HIDDEN not in read or read & {spec.name for spec in step.inputs}:
            raise ExportError("a shortlist needs an output layer that is one product with the hidden state")
        self.product = products[0]
        self.transposes = [n for n in nodes if n.op_type == "Transpose" and n.input[0] in self.constants]
        self.nodes = [node for node in nodes if node not in self.transposes]
        by_output = {node.output[0]: node.input[0] for node in self.transposes}
        matrix = self.product.input[1]
        self.is_transposed = matrix in by_output
        self.weight = self.constants[by_output.get(matrix, matrix)]
        is_int8 = self.product.op_type == "MatMulIntegerToFloat"
        self.vectors = {"scale": self.product.input[3]} if is_int8 else {}
        size = next(spec.shape[-1] for spec in step.outputs if spec.name == LOGITS)
        vectors = {name for name in read & self.constants.keys() if list(self.constants[name].dims) == [size]}
        self.vectors |= dict(zip(["bias"], sorted(vectors - set(self.vectors.values())), strict=False))
        self.hidden = next(spec for spec in step.outputs if spec.name == HIDDEN)
        self.dtype = "uint8" if is_int8 else self.hidden.dtype

    def without(self) -> Exported:
        """The decoder step without it."""
        outputs = tuple(spec for spec in self.step.outputs if spec.name != LOGITS)
        nodes = _ancestors(self.step.model, [spec.name for spec in outputs])
        return self._graph(nodes, self.step.inputs, outputs)

    def columns(self) -> Exported:
        """Its weights (E', m) of tokens (m), and of each the bias if there is one, and in int8 the scale."""
        spec = TensorSpec("token", "int64", ("tokens",))
        outputs = [TensorSpec("weight", self.dtype, (self.hidden.shape[-1], "tokens"))]
        if self.is_transposed:
            nodes = [
                helper.make_node("Gather", [self.weight.name, "token"], ["weight_transposed"]),
                helper.make_node("Transpose", ["weight_transposed"], ["weight"], perm=[1, 0]),
            ]
        else:
            nodes = [helper.make_node("Gather", [self.weight.name, "token"], ["weight"], axis=1)]
        for name, constant in self.vectors.items():
            outputs.append(TensorSpec(name, self._type(constant), ("tokens",)))
            nodes.append(helper.make_node("Gather", [constant, "token"], [name]))
        return self._graph(nodes, (spec,), tuple(outputs))

    def logits(self) -> Exported:
        """Hidden states (n, W, E') and columns (E', K) to logits (n, W, K)."""
        inputs = [self.hidden, TensorSpec("weight", self.dtype, (self.hidden.shape[-1], "candidates"))]
        renamed = {constant: name for name, constant in self.vectors.items()}
        renamed[self.product.input[1]] = "weight"
        for name, constant in self.vectors.items():
            inputs.append(TensorSpec(name, self._type(constant), ("candidates",)))
        nodes = [_with_inputs(node, renamed) for node in self.nodes]
        output = TensorSpec(LOGITS, "float32", ("rows", "beam", "candidates"))
        return self._graph(nodes, tuple(inputs), (output,))

    def _type(self, constant: str) -> str:
        return str(helper.tensor_dtype_to_np_dtype(self.constants[constant].data_type).name)

    def _graph(
        self, nodes: Iterable[NodeProto], inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> Exported:
        nodes = list(nodes)
        read = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "shortlist",
            [_value(spec) for spec in inputs],
            [_value(spec) for spec in outputs],
            [constant for name, constant in self.constants.items() if name in read],
        )
        model = helper.make_model(
            graph, ir_version=self.step.model.ir_version, opset_imports=self.step.model.opset_import
        )
        return Exported(model, inputs, outputs)


def _with_inputs(node: NodeProto, renamed: Mapping[str, str]) -> NodeProto:
    """The same node, of inputs that are called otherwise."""
    result = NodeProto()
    result.CopyFrom(node)
    for i, name in enumerate(node.input):
        result.input[i] = renamed.get(name, name)
    return result


def _ancestors(
    model: onnx.ModelProto, names: Iterable[str], stop: Iterable[str] = frozenset()
) -> list[NodeProto]:
    """The nodes that some values follow from, in their order, up to the values `stop`."""
    needed, found = set(names), []
    for node in reversed(model.graph.node):
        if needed & (set(node.output) - set(stop)):
            found.append(node)
            needed |= set(node.input)
    return found[::-1]


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, dtype, list(spec.shape))
