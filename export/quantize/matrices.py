"""int8 by rewriting a graph's matrix products: each activation row has a scale of its own.

A row's result then depends on that row alone, so a translation is the same in any batch; the usual
dynamic quantization takes one scale for the whole batch. Where it is known how large an activation gets, the
scale is a constant, which saves five passes over each activation and one over each product; and cutting at 0,
which bytes do anyway, takes the place of a ReLU.

Matrices that are multiplied are stored as unsigned bytes around 128. Where x86 has no VNNI, products of
unsigned and signed bytes are added by pairs in 16 bits and saturate, silently; those of two unsigned ones are
exact everywhere, and as fast with VNNI.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from export.graphs.opset import MICROSOFT
from export.quantize.activations import ZERO_POINT, QuantizedActivations
from export.quantize.graph_draft import GraphDraft, GraphFacts


def quantize_weight(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 with one scale for each index of the other axis.

    Args:
        weight: A matrix, or several.
        axis: The one that the product sums over.

    Returns:
        Integers in [-127, 127] and scales, such that integers · scale is close to weight.

    >>> integers, scale = quantize_weight(np.array([[2.0, 254.0], [-1.0, 127.0]], np.float32), axis=1)
    >>> integers.tolist(), scale.tolist()
    ([[1, 127], [-1, 127]], [2.0, 1.0])
    """
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True) / 127.0, 1e-12).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale.squeeze(axis)


def unsigned(integers: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Signed integers as unsigned ones around `ZERO_POINT`.

    >>> unsigned(np.array([-127, 0, 127], np.int8)).tolist()
    [1, 128, 255]
    """
    return (integers.astype(np.int16) + ZERO_POINT).astype(np.uint8)


def weight_key(matrix: NDArray[np.generic]) -> str:
    """Which matrix (in, out) it is: an exporter may rename and transpose it."""
    return hashlib.sha256(np.ascontiguousarray(matrix).tobytes()).hexdigest()


def quantize_graph(
    model: onnx.ModelProto,
    largest: Mapping[str, float] | None = None,
    steps: Mapping[str, NDArray[np.float32]] | None = None,
    *,
    only_bounded: bool = False,
) -> onnx.ModelProto:
    """A copy in which every product with a constant matrix, and every embedding, holds int8 weights.

    Args:
        largest: By `weight_key` the largest absolute value of what a matrix is multiplied with: the scale is
            then a constant, and what is beyond is cut.
        steps: By `weight_key` what a matrix' integers are multiplied by, for each output, where it is made of
            such; all others are rounded.
        only_bounded: Use `largest` only of what comes out of a layer norm or a tanh.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Rewriter(result.graph, largest or {}, steps or {}, only_bounded=only_bounded).run()
    if MICROSOFT not in {opset.domain for opset in result.opset_import}:
        result.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return result


class _Rewriter:
    """Rewrites one graph in place, node by node in order.

    A rewrite says whether it took a node; a node that none takes stays as it is.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        largest: Mapping[str, float],
        steps: Mapping[str, NDArray[np.float32]],
        *,
        only_bounded: bool,
    ) -> None:
        self.largest, self.steps, self.only_bounded = largest, steps, only_bounded
        self.facts = GraphFacts(graph)
        self.draft = GraphDraft(graph)
        self.activations = QuantizedActivations(self.facts, self.draft)
        self.products: dict[str, NodeProto] = {}  # by output, those that could add a bias themselves
        self.rewrites = {
            "Transpose": self._transpose,
            "MatMul": self._matmul,
            "Gemm": self._gemm,
            "RNN": self._recurrent,
            "LSTM": self._recurrent,
            "GRU": self._recurrent,
            "Gather": self._gather,
            "Add": self._add,
        }

    def run(self) -> None:
        for node in self.facts.graph.node:
            rewrite = self.rewrites.get(node.op_type)
            if rewrite is None or not rewrite(node):
                self.draft.nodes.append(node)
        self.draft.replace_graph()

    def _transpose(self, node: NodeProto) -> bool:
        """Drop a weight's: the product that reads it takes the weight as it is stored."""
        return node.output[0] in self.facts.transposed

    def _matmul(self, node: NodeProto) -> bool:
        name = node.input[1]
        if name in self.facts.weights:
            self._product(node.input[0], name, node.output[0], is_transposed=False)
        elif name in self.facts.transposed:
            self._product(node.input[0], self.facts.transposed[name], node.output[0], is_transposed=True)
        else:
            return False
        return True

    def _product(self, x: str, weight_name: str, output: str, *, is_transposed: bool) -> None:
        weight, scale = self._weight(weight_name, is_transposed=is_transposed)
        matrix = numpy_helper.to_array(self.facts.weights[weight_name])
        if is_transposed:  # folded into a constant when a session loads the graph
            weight = self.draft.node("Transpose", [weight], f"{output}_weight", perm=[1, 0])
        largest = self.largest.get(weight_key(matrix.T if is_transposed else matrix))
        if largest is not None and (x in self.facts.bounded or not self.only_bounded):
            byte, step, zero_point = self.activations.by_constant(x, largest)
            operands = [byte, weight, step, scale, zero_point, self._zero_point()]
            self.draft.node("MatMulIntegerToFloat", operands, output, MICROSOFT)
            self.products[output] = self.draft.nodes[-1]
        else:
            byte, row_scale = self.activations.by_row(x)
            step, zero_point = self.activations.grid()
            operands = [byte, weight, step, scale, zero_point, self._zero_point()]
            product = self.draft.node("MatMulIntegerToFloat", operands, f"{output}_unscaled", MICROSOFT)
            self.draft.node("Mul", [product, row_scale], output)

    def _gemm(self, node: NodeProto) -> bool:
        """A product and a bias in one, as the exporter writes it for rows without a time axis."""
        if node.input[1] not in self.facts.weights:
            return False
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        is_transposed = bool(attributes.pop("transB", 0))
        assert set(attributes.values()) <= {0, 1.0}, f"{node.name} scales or transposes"
        has_bias = len(node.input) == 3  # the exporter drops one of zeros
        product = f"{node.output[0]}_product" if has_bias else node.output[0]
        self._product(node.input[0], node.input[1], product, is_transposed=is_transposed)
        if has_bias:
            self.draft.node("Add", [product, node.input[2]], node.output[0])
        return True

    def _add(self, node: NodeProto) -> bool:
        """Let a product without row scales add its bias itself, if this Add is alone to read it."""
        for name, other in (node.input, reversed(node.input)):
            is_alone = name in self.products and self.facts.num_readers[name] == 1
            if is_alone and other in self.facts.vectors:
                multiply = self.products[name]
                multiply.input.append(other)
                multiply.output[0] = multiply.name = node.output[0]
                return True
        return False

    def _gather(self, node: NodeProto) -> bool:
        if node.input[0] not in self.facts.weights:
            return False
        weight, scale = self._weight(node.input[0], is_transposed=True)
        output, ids = node.output[0], node.input[1]
        axes = self.draft.constant("int8_last_axis", np.array([-1], np.int64))
        zero = self.draft.constant("int8_weight_zero", np.array(ZERO_POINT, np.float32))
        stored = self.draft.node("Gather", [weight, ids], f"{output}_uint8")
        positive = self.draft.node("Cast", [stored], f"{output}_positive", to=onnx.TensorProto.FLOAT)
        values = self.draft.node("Sub", [positive, zero], f"{output}_integers")
        factors = self.draft.node("Gather", [scale, ids], f"{output}_scale_flat")
        column = self.draft.node("Unsqueeze", [factors, axes], f"{output}_scale")
        self.draft.node("Mul", [values, column], output)
        return True

    def _weight(self, name: str, *, is_transposed: bool) -> tuple[str, str]:
        """Store a weight (in, out) as bytes, or (out, in) where it is used transposed; a scale an output."""
        weight = numpy_helper.to_array(self.facts.weights[name])
        steps = self.steps.get(weight_key(weight.T if is_transposed else weight)) if self.steps else None
        if steps is None:
            integers, scale = quantize_weight(weight, axis=1 if is_transposed else 0)
        else:
            integers = np.rint(weight / (steps[:, None] if is_transposed else steps)).astype(np.int8)
            scale = steps
        return self.draft.constant(f"{name}_uint8", unsigned(integers)), self.draft.constant(
            f"{name}_scale", scale
        )

    def _zero_point(self) -> str:
        return self.draft.constant("int8_weight_zero_point", np.array(ZERO_POINT, np.uint8))

    def _recurrent(self, node: NodeProto) -> bool:
        """Store a recurrent layer's matrices as int8; ONNX Runtime unpacks them once, at load.

        Its own int8 kernel takes one scale for the whole batch.
        """
        inputs = list(node.input)
        for i in (1, 2):  # from the input and from the state, (D, G·h, in)
            inputs[i] = self._unpacked(inputs[i])
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.draft.nodes.append(
            helper.make_node(node.op_type, inputs, list(node.output), name=node.name, **attributes)
        )
        return True

    def _unpacked(self, name: str) -> str:
        integers, scale = quantize_weight(numpy_helper.to_array(self.facts.stacked[name]), axis=2)
        stored = self.draft.constant(f"{name}_int8", integers)
        factors = self.draft.constant(f"{name}_scale", scale[..., None])
        values = self.draft.node("Cast", [stored], f"{name}_integers", to=onnx.TensorProto.FLOAT)
        return self.draft.node("Mul", [values, factors], f"{name}_unpacked")
