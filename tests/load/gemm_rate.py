"""How fast this machine multiplies int8 matrices of the base model's shapes, and how near decoding comes.

Products stand alone here, in the operator that an int8 artifact is made of, on all cores at once: what they
reach bounds what an engine around them can.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.load.base_weights import base_config
from tests.load.subjects import NUM_CORES

_SECONDS = 1.0  # of each shape
_DECODER_ROWS, _ENCODER_ROWS = 64, 640
_STEP, _ZERO_POINT = 1 / 127, 128


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of product: x (rows, inputs) · W (inputs, outputs).

    Args:
        count: How often each token goes through one, each time through another W.
    """

    name: str
    rows: int
    inputs: int
    outputs: int
    count: int

    @property
    def operations(self) -> int:
        """Of all products of this kind for one row; a multiplication and an addition are two."""
        return 2 * self.inputs * self.outputs * self.count


@dataclass(frozen=True, kw_only=True)
class GemmRate:
    """What was measured of one shape, in 10^9 operations a second of all cores together."""

    shape: Shape
    gops: float


def base_shapes() -> list[Shape]:
    """What one target token takes, and one source token, which there are as many of.

    Queries, keys and values of self-attention are one product, as are keys and values of the source.
    """
    config = base_config()
    size, wide = config.model_size, config.feed_forward_size
    decoder, encoder = config.num_decoder_layers, config.num_encoder_layers
    kinds = (
        ("decoder attention in", _DECODER_ROWS, size, 3 * size, decoder),
        ("decoder attention query, out", _DECODER_ROWS, size, size, 3 * decoder),
        ("decoder feed-forward 1", _DECODER_ROWS, size, wide, decoder),
        ("decoder feed-forward 2", _DECODER_ROWS, wide, size, decoder),
        ("output layer", _DECODER_ROWS, size, config.vocabulary_size, 1),
        ("encoder attention in", _ENCODER_ROWS, size, 3 * size, encoder),
        ("encoder attention out", _ENCODER_ROWS, size, size, encoder),
        ("encoder feed-forward 1", _ENCODER_ROWS, size, wide, encoder),
        ("encoder feed-forward 2", _ENCODER_ROWS, wide, size, encoder),
        ("source keys and values", _ENCODER_ROWS, size, 2 * size, decoder),
    )
    return [
        Shape(name=name, rows=rows, inputs=inputs, outputs=outputs, count=count)
        for name, rows, inputs, outputs, count in kinds
    ]


def measure_gemm_rates() -> list[GemmRate]:
    """Measure every shape."""
    return [GemmRate(shape=shape, gops=_gops(shape)) for shape in base_shapes()]


def operations_per_token(rates: Sequence[GemmRate]) -> float:
    """What one target token and one source token take together."""
    return sum(rate.shape.operations for rate in rates)


def token_limit(rates: Sequence[GemmRate]) -> float:
    """Target tokens a second if nothing but the products took time."""
    return 1 / sum(rate.shape.operations / (rate.gops * 1e9) for rate in rates)


def _gops(shape: Shape) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        _graph(shape).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    with ThreadPoolExecutor(NUM_CORES) as threads:
        runs = list(threads.map(lambda _: _runs_per_second(session, shape), range(NUM_CORES)))
    return sum(runs) * shape.rows * shape.operations / 1e9


def _runs_per_second(session: Any, shape: Shape) -> float:
    """Runs of one thread, outputs written to the same places each time."""
    random = np.random.default_rng(0)
    binding = session.io_binding()
    binding.bind_cpu_input("x", random.integers(0, 255, (shape.rows, shape.inputs)).astype(np.uint8))
    for output in session.get_outputs():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((shape.rows, shape.outputs), np.float32))
        binding.bind_ortvalue_output(output.name, value)
    session.run_with_iobinding(binding)
    started, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < _SECONDS:
        session.run_with_iobinding(binding)
        count += 1
    return count / seconds


def _graph(shape: Shape) -> onnx.ModelProto:
    """As many products as a token goes through, each with weights of its own, so that caches are as cold."""
    random = np.random.default_rng(1)
    constants: dict[str, NDArray[np.generic]] = {
        "x_scale": np.array(_STEP, np.float32),
        "x_zero": np.array(_ZERO_POINT, np.uint8),
        "w_scale": np.full(shape.outputs, 1e-3, np.float32),
    }
    nodes = []
    for i in range(shape.count):
        weight = random.integers(-127, 128, (shape.inputs, shape.outputs)).astype(np.int8)
        constants[f"w{i}"] = weight
        inputs = ["x", f"w{i}", "x_scale", "w_scale", "x_zero"]
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [f"y{i}"], domain="com.microsoft"))
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, [shape.rows, shape.inputs])
    outputs = [
        helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [shape.rows, shape.outputs])
        for i in range(shape.count)
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "products", [x], outputs, initializers)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
