"""int8 by rewriting a graph's matrix products: each activation row has a scale of its own.

A row's result then depends on that row alone, so a translation is the same in any batch; the usual
dynamic quantization takes one scale for the whole batch. Where it is known how large an activation gets, the
scale is a constant, which saves five passes over each activation and one over each product; and cutting at 0,
which bytes do anyway, takes the place of a ReLU.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from export.graphs.opset import MICROSOFT

_STEP = 1.0 / 127.0
_ZERO_POINT = 128  # u8 activations: s8 ones are 15 to 25 times slower in ONNX Runtime on x86
_SMALLEST = 1e-6
_RECURRENT = frozenset({"RNN", "LSTM", "GRU"})
_BOUNDED = frozenset({"LayerNormalization", "Tanh"})


def quantize_weight(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 with one scale for each index of the other axis.

    Args:
        weight: A matrix, or several.
        axis: The one that the product sums over.

    Returns:
        Integers in [-127, 127] and scales, such that integers · scale is close to weight.
    """
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True) / 127.0, 1e-12).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale.squeeze(axis)


def weight_key(matrix: NDArray[np.generic]) -> str:
    """Which matrix (in, out) it is: an exporter may rename and transpose it."""
    return hashlib.sha256(np.ascontiguousarray(matrix).tobytes()).hexdigest()


def quantize_graph(
    model: onnx.ModelProto, largest: Mapping[str, float] | None = None, *, only_bounded: bool = False
) -> onnx.ModelProto:
    """A copy in which every product with a constant matrix, and every embedding, holds int8 weights.

    Args:
        largest: By `weight_key` the largest absolute value of what a matrix is multiplied with: the scale is
            then a constant, and what is beyond is cut.
        only_bounded: Use it only of what comes out of a layer norm or a tanh.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Rewriter(result, largest or {}, only_bounded=only_bounded).run()
    if MICROSOFT not in {opset.domain for opset in result.opset_import}:
        result.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return result


class _Rewriter:
    """Rewrites one graph in place, node by node in order."""

    def __init__(self, model: onnx.ModelProto, largest: Mapping[str, float], *, only_bounded: bool) -> None:
        self.graph = model.graph
        self.largest = largest
        self.only_bounded = only_bounded
        self.weights = {i.name: i for i in self.graph.initializer if len(i.dims) == 2}
        self.stacked = {i.name: i for i in self.graph.initializer if len(i.dims) == 3}
        self.nodes: list[NodeProto] = []
        self.new_initializers: dict[str, onnx.TensorProto] = {}
        self.quantized_activations: dict[str, tuple[str, str]] = {}
        self.constant_activations: dict[str, tuple[str, str, str]] = {}
        self.products: dict[str, NodeProto] = {}
        self.vectors = {i.name for i in self.graph.initializer if len(i.dims) == 1 and i.dims[0] > 1}
        self.bounded = {o for node in self.graph.node if node.op_type in _BOUNDED for o in node.output}
        self.before_relu = {n.output[0]: n.input[0] for n in self.graph.node if n.op_type == "Relu"}
        self.num_readers = Counter(name for node in self.graph.node for name in node.input)
        self.num_readers.update(output.name for output in self.graph.output)

    def run(self) -> None:
        transposed = {
            node.output[0]: node.input[0]
            for node in self.graph.node
            if node.op_type == "Transpose" and node.input[0] in self.weights
        }
        for node in self.graph.node:
            if node.op_type == "Transpose" and node.output[0] in transposed:
                continue
            if node.op_type == "MatMul" and node.input[1] in self.weights:
                self._matmul(node, node.input[1], is_transposed=False)
            elif node.op_type == "MatMul" and node.input[1] in transposed:
                self._matmul(node, transposed[node.input[1]], is_transposed=True)
            elif node.op_type == "Gemm" and node.input[1] in self.weights:
                self._gemm(node)
            elif node.op_type in _RECURRENT:
                self._recurrent(node)
            elif node.op_type == "Gather" and node.input[0] in self.weights:
                self._gather(node)
            elif node.op_type == "Add" and (product := self._product_of(node)):
                self._add_bias(product, node)
            else:
                self.nodes.append(node)
        self._replace()

    def _replace(self) -> None:
        self.nodes = _read_by_someone(self.nodes, {output.name for output in self.graph.output})
        used = {name for node in self.nodes for name in node.input}
        kept = [i for i in self.graph.initializer if i.name in used]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend([*kept, *self.new_initializers.values()])

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.new_initializers.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def _node(
        self, op_type: str, inputs: Iterable[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=output, domain=domain, **attributes)
        )
        return output

    def _weight(self, name: str, *, is_transposed: bool) -> tuple[str, str]:
        """Store a weight as int8 (in, out), or (out, in) where it is used transposed; one scale an output."""
        weight = numpy_helper.to_array(self.weights[name])
        integers, scale = quantize_weight(weight, axis=1 if is_transposed else 0)
        return self._constant(f"{name}_int8", integers), self._constant(f"{name}_scale", scale)

    def _constant_activation(self, name: str, largest: float) -> tuple[str, str, str]:
        """Quantize x with one scale, once for all products that read it: names of bytes, step, zero point."""
        if name not in self.constant_activations:
            zero_point = 0 if name in self.before_relu else _ZERO_POINT
            step = self._step(f"{name}_step", largest / (255 - zero_point))
            read = self.before_relu.get(name, name)
            grid = step, self._zero_point(zero_point)
            byte = self._node("QuantizeLinear", [read, *grid], self._name_of_bytes(name))
            self.constant_activations[name] = (byte, *grid)
        return self.constant_activations[name]

    def _activation(self, name: str) -> tuple[str, str]:
        """Quantize x with a scale for each row, once for all products that read it: names of both."""
        if name not in self.quantized_activations:
            axes = self._constant("int8_last_axis", np.array([-1], np.int64))
            smallest = self._constant("int8_smallest", np.array(_SMALLEST, np.float32))
            absolute = name if name in self.before_relu else self._node("Abs", [name], f"{name}_abs")
            row_largest = self._node("ReduceMax", [absolute, axes], f"{name}_largest", keepdims=1)
            row_scale = self._node("Max", [row_largest, smallest], f"{name}_row_scale")
            unit = self._node("Div", [name, row_scale], f"{name}_unit")
            byte = self._node("QuantizeLinear", [unit, *self._grid()], self._name_of_bytes(name))
            self.quantized_activations[name] = (byte, row_scale)
        return self.quantized_activations[name]

    def _name_of_bytes(self, name: str) -> str:
        """One activation may be quantized in both ways, for different products."""
        is_second = name in self.quantized_activations or name in self.constant_activations
        return f"{name}_uint8_again" if is_second else f"{name}_uint8"

    def _grid(self) -> tuple[str, str]:
        return self._step("int8_step", _STEP), self._zero_point(_ZERO_POINT)

    def _step(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, np.float32))

    def _zero_point(self, value: int) -> str:
        return self._constant(f"int8_zero_point_{value}", np.array(value, np.uint8))

    def _matmul(self, node: NodeProto, weight_name: str, *, is_transposed: bool) -> None:
        weight, scale = self._weight(weight_name, is_transposed=is_transposed)
        matrix = numpy_helper.to_array(self.weights[weight_name])
        x, output = node.input[0], node.output[0]
        if is_transposed:  # folded into a constant when a session loads the graph
            weight = self._node("Transpose", [weight], f"{output}_weight", perm=[1, 0])
        largest = self.largest.get(weight_key(matrix.T if is_transposed else matrix))
        if largest is not None and (x in self.bounded or not self.only_bounded):
            byte, step, zero_point = self._constant_activation(x, largest)
            self._node("MatMulIntegerToFloat", [byte, weight, step, scale, zero_point], output, MICROSOFT)
            self.products[output] = self.nodes[-1]
        else:
            byte, row_scale = self._activation(x)
            step, zero_point = self._grid()
            product = f"{output}_unscaled"
            self._node("MatMulIntegerToFloat", [byte, weight, step, scale, zero_point], product, MICROSOFT)
            self._node("Mul", [product, row_scale], output)

    def _gemm(self, node: NodeProto) -> None:
        """A product and a bias in one, as the exporter writes it for rows without a time axis."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        is_transposed = bool(attributes.pop("transB", 0))
        assert set(attributes.values()) <= {0, 1.0}, f"{node.name} scales or transposes"
        has_bias = len(node.input) == 3  # the exporter drops one of zeros
        product = f"{node.output[0]}_product" if has_bias else node.output[0]
        plain = helper.make_node("MatMul", node.input[:2], [product])
        self._matmul(plain, node.input[1], is_transposed=is_transposed)
        if has_bias:
            self._node("Add", [product, node.input[2]], node.output[0])

    def _product_of(self, node: NodeProto) -> str | None:
        """The product without row scales that an Add of a bias is alone to read, if it is one."""
        for name, other in (node.input, reversed(node.input)):
            if name in self.products and self.num_readers[name] == 1 and other in self.vectors:
                return str(name)
        return None

    def _add_bias(self, product: str, node: NodeProto) -> None:
        """Let the product add its bias itself."""
        multiply = self.products[product]
        multiply.input.extend(["", next(name for name in node.input if name != product)])
        multiply.output[0] = multiply.name = node.output[0]

    def _gather(self, node: NodeProto) -> None:
        weight, scale = self._weight(node.input[0], is_transposed=True)
        output, ids = node.output[0], node.input[1]
        axes = self._constant("int8_last_axis", np.array([-1], np.int64))
        integers = self._node("Gather", [weight, ids], f"{output}_int8")
        values = self._node("Cast", [integers], f"{output}_integers", to=onnx.TensorProto.FLOAT)
        factors = self._node("Gather", [scale, ids], f"{output}_scale_flat")
        column = self._node("Unsqueeze", [factors, axes], f"{output}_scale")
        self._node("Mul", [values, column], output)

    def _recurrent(self, node: NodeProto) -> None:
        """Store a recurrent layer's matrices as int8; ONNX Runtime unpacks them once, at load.

        Its own int8 kernel takes one scale for the whole batch.
        """
        inputs = list(node.input)
        for i in (1, 2):  # from the input and from the state, (D, G·h, in)
            inputs[i] = self._unpacked(inputs[i])
        node = helper.make_node(
            node.op_type,
            inputs,
            list(node.output),
            name=node.name,
            **{a.name: helper.get_attribute_value(a) for a in node.attribute},
        )
        self.nodes.append(node)

    def _unpacked(self, name: str) -> str:
        integers, scale = quantize_weight(numpy_helper.to_array(self.stacked[name]), axis=2)
        stored = self._constant(f"{name}_int8", integers)
        factors = self._constant(f"{name}_scale", scale[..., None])
        values = self._node("Cast", [stored], f"{name}_integers", to=onnx.TensorProto.FLOAT)
        return self._node("Mul", [values, factors], f"{name}_unpacked")


def _read_by_someone(nodes: Iterable[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Without nodes that nothing follows from: what is a quantized sum at 0 cut needs no ReLU before."""
    needed, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]
