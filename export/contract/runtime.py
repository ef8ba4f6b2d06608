"""What every ONNX Runtime session of an artifact is told, so that all processors compute alike."""

from __future__ import annotations

# x86 without VNNI multiplies unsigned by signed bytes in 16 bits that overflow: sums saturate, and
# translations go wrong without a word. With this entry ONNX Runtime multiplies there by unsigned bytes,
# which is exact; where nothing overflows it changes nothing.
EXACT_INTEGERS = ("session.x64quantprecision", "1")
