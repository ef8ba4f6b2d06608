"""Activations as bytes: with a scale for each row, or with a constant one where the largest is known."""

from __future__ import annotations

import numpy as np

from export.quantize.graph_draft import GraphDraft, GraphFacts

_STEP = 1.0 / 127.0
ZERO_POINT = 128  # of unsigned bytes: signed activations are 15 to 25 times slower in ONNX Runtime on x86
_SMALLEST = 1e-6


class QuantizedActivations:
    """Adds to a draft what quantizes activations, each once for all products that read it.

    Args:
        facts: Of the graph as it was exported.
        draft: Receives nodes and constants.
    """

    def __init__(self, facts: GraphFacts, draft: GraphDraft) -> None:
        self._before_relu, self._draft = facts.before_relu, draft
        self._by_row: dict[str, tuple[str, str]] = {}
        self._by_constant: dict[str, tuple[str, str, str]] = {}

    def by_constant(self, name: str, largest: float) -> tuple[str, str, str]:
        """Quantize x with one scale: names of bytes, step, zero point."""
        if name not in self._by_constant:
            zero_point = 0 if name in self._before_relu else ZERO_POINT
            step = self._step(f"{name}_step", largest / (255 - zero_point))
            read = self._before_relu.get(name, name)
            grid = step, self._zero_point(zero_point)
            byte = self._draft.node("QuantizeLinear", [read, *grid], self._name_of_bytes(name))
            self._by_constant[name] = (byte, *grid)
        return self._by_constant[name]

    def by_row(self, name: str) -> tuple[str, str]:
        """Quantize x with a scale for each row, on the steps of `grid`: names of bytes and scales."""
        if name not in self._by_row:
            axes = self._draft.constant("int8_last_axis", np.array([-1], np.int64))
            smallest = self._draft.constant("int8_smallest", np.array(_SMALLEST, np.float32))
            is_positive = name in self._before_relu
            absolute = name if is_positive else self._draft.node("Abs", [name], f"{name}_abs")
            row_largest = self._draft.node("ReduceMax", [absolute, axes], f"{name}_largest", keepdims=1)
            row_scale = self._draft.node("Max", [row_largest, smallest], f"{name}_row_scale")
            unit = self._draft.node("Div", [name, row_scale], f"{name}_unit")
            byte = self._draft.node("QuantizeLinear", [unit, *self.grid()], self._name_of_bytes(name))
            self._by_row[name] = (byte, row_scale)
        return self._by_row[name]

    def grid(self) -> tuple[str, str]:
        """Step and zero point of rows between -1 and 1: names of both."""
        return self._step("int8_step", _STEP), self._zero_point(ZERO_POINT)

    def _name_of_bytes(self, name: str) -> str:
        """One activation may be quantized in both ways, for different products."""
        is_second = name in self._by_row or name in self._by_constant
        return f"{name}_uint8_again" if is_second else f"{name}_uint8"

    def _step(self, name: str, value: float) -> str:
        return self._draft.constant(name, np.array(value, np.float32))

    def _zero_point(self, value: int) -> str:
        return self._draft.constant(f"int8_zero_point_{value}", np.array(value, np.uint8))
