"""What int8 must know of a graph, and the graph that takes its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

_BOUNDED = frozenset({"LayerNormalization", "Tanh"})


class GraphFacts:
    """Constants and values of a graph as it was exported, by name.

    Args:
        graph: Not changed.

    Attributes:
        weights: Constant matrices.
        stacked: Constants of three axes, the matrices of recurrent layers.
        vectors: Constants of one axis that are longer than 1: what can be a bias.
        transposed: Of what a Transpose makes of a weight, that weight.
        bounded: Values that come out of a layer norm or a tanh.
        before_relu: Of what comes out of a ReLU, what went in.
        num_readers: How often a value is read, as an output of the graph too.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.weights = {i.name: i for i in graph.initializer if len(i.dims) == 2}
        self.stacked = {i.name: i for i in graph.initializer if len(i.dims) == 3}
        self.vectors = {i.name for i in graph.initializer if len(i.dims) == 1 and i.dims[0] > 1}
        self.transposed = {
            node.output[0]: node.input[0]
            for node in graph.node
            if node.op_type == "Transpose" and node.input[0] in self.weights
        }
        self.bounded = {o for node in graph.node if node.op_type in _BOUNDED for o in node.output}
        self.before_relu = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Relu"}
        self.num_readers = Counter(name for node in graph.node for name in node.input)
        self.num_readers.update(output.name for output in graph.output)


class GraphDraft:
    """New nodes and constants for a graph, until `replace_graph` puts them in place of the old ones.

    Args:
        graph: Changed by `replace_graph` alone.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.nodes: list[NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant, unless there is one of this name, and return the name."""
        self._constants.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def node(
        self, op_type: str, inputs: Iterable[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node that is called like its one output, and return that name."""
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=output, domain=domain, **attributes)
        )
        return output

    def replace_graph(self) -> None:
        """Give the graph these nodes, as far as its outputs follow from them, and the constants they read."""
        nodes = _read_by_someone(self.nodes, {output.name for output in self.graph.output})
        names = {name for node in nodes for name in node.input}
        kept = [constant for constant in self.graph.initializer if constant.name in names]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend([*kept, *self._constants.values()])


def _read_by_someone(nodes: Iterable[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Without nodes that nothing follows from: what is a quantized sum at 0 cut needs no ReLU before."""
    needed, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]
