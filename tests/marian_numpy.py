"""A Marian network in NumPy, written from the formulas alone: what the imported model is held against."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TABLES = ("encoder_Wemb", "decoder_Wemb")  # where source and target do not share one


def read_values(path: Path) -> dict[str, Floats]:
    """The tensors of a file as they are multiplied, x W; it trusts the file."""
    content = path.read_bytes()
    _, count = struct.unpack_from("<2Q", content)
    headers = [struct.unpack_from("<4Q", content, 16 + 32 * i) for i in range(count)]
    place, names, shapes = 16 + 32 * count, [], []
    for length, *_ in headers:
        names.append(content[place : place + length - 1].decode())
        place += length
    for _, _, num_axes, _ in headers:
        shapes.append(struct.unpack_from(f"<{num_axes}i", content, place))
        place += 4 * num_axes
    place += 8 + struct.unpack_from("<Q", content, place)[0]
    values: dict[str, Floats] = {}
    for name, shape, (_, code, _, num_bytes) in zip(names, shapes, headers, strict=True):
        if code == 0x404:
            flat = np.frombuffer(content, "<f4", math.prod(shape), place)
            values[name] = flat.reshape(shape).astype(np.float64)
        elif code == 0x4101 and len(shape) == 2:
            (multiplier,) = struct.unpack_from("<f", content, place + math.prod(shape))
            flat = np.frombuffer(content, "<i1", math.prod(shape), place).astype(np.float64) / multiplier
            is_embeddings = "Wemb" in name
            values[name] = flat.reshape(shape) if is_embeddings else flat.reshape(shape[1], shape[0]).T
        place += num_bytes
    return values


def swish(x: Floats) -> Floats:
    activated: Floats = x / (1 + np.exp(-x))
    return activated


class MarianStudent:
    """A Transformer encoder and a decoder of SSRUs or self-attention, post-norm, in double precision.

    Args:
        values: From `read_values`.
        num_heads: H.
        activation: Of the feed-forward networks; None for ReLU.
        denominator: Of the exponent of the positions' wavelengths; None for Marian's, E/2 - 1.
    """

    def __init__(
        self,
        values: dict[str, Floats],
        num_heads: int,
        *,
        activation: Callable[[Floats], Floats] | None = None,
        denominator: int | None = None,
    ) -> None:
        self.w, self.num_heads = values, num_heads
        self.activation, self.denominator = activation or (lambda x: np.maximum(x, 0)), denominator
        self.source, self.target = (values[name if name in values else "Wemb"] for name in _TABLES)
        self.size = self.target.shape[1]

    def logits(self, source: list[int], target: list[int]) -> Floats:
        """What follows each target prefix: row t scores the token after target[:t], (T + 1, V)."""
        memory = self._encode(source)
        x = np.zeros((len(target) + 1, self.size))
        x[1:] = self._tokens(self.target, target)
        x += self._positions(len(x))
        for i in range(1, self._depth("decoder", "_context_Wq") + 1):
            layer = f"decoder_l{i}"
            if f"{layer}_self_Wq" in self.w:
                looked_back = self._attend(x, x, f"{layer}_self", is_causal=True)
                x = self._norm(x + looked_back, f"{layer}_self_Wo_ln")
            else:
                x = self._norm(x + self._ssru(x, f"{layer}_rnn"), f"{layer}_rnn_ffn_ln")
            x = self._norm(x + self._attend(x, memory, f"{layer}_context"), f"{layer}_context_Wo_ln")
            x = self._norm(x + self._feed_forward(x, f"{layer}_ffn"), f"{layer}_ffn_ffn_ln")
        scores: Floats = x @ self._output().T + self.w["decoder_ff_logit_out_b"]
        return scores

    def _output(self) -> Floats:
        if "decoder_ff_logit_out_W" in self.w:
            return self.w["decoder_ff_logit_out_W"].T
        return self.w.get("decoder_ff_logit_out_Wt", self.target)

    def _encode(self, source: list[int]) -> Floats:
        x = self._tokens(self.source, source) + self._positions(len(source))
        for i in range(1, self._depth("encoder", "_self_Wq") + 1):
            layer = f"encoder_l{i}"
            x = self._norm(x + self._attend(x, x, f"{layer}_self"), f"{layer}_self_Wo_ln")
            x = self._norm(x + self._feed_forward(x, f"{layer}_ffn"), f"{layer}_ffn_ffn_ln")
        return x

    def _depth(self, part: str, suffix: str) -> int:
        return sum(name.startswith(f"{part}_l") and name.endswith(suffix) for name in self.w)

    def _tokens(self, table: Floats, ids: list[int]) -> Floats:
        rows: Floats = math.sqrt(self.size) * table[ids]
        return rows

    def _positions(self, count: int) -> Floats:
        half = self.size // 2
        frequency = np.exp(-np.arange(half) * math.log(10000) / (self.denominator or half - 1))
        angle = np.arange(count)[:, None] * frequency
        return np.concatenate((np.sin(angle), np.cos(angle)), axis=1)

    def _affine(self, x: Floats, name: str, part: str) -> Floats:
        product: Floats = x @ self.w[f"{name}_W{part}"] + self.w[f"{name}_b{part}"]
        return product

    def _attend(self, x: Floats, memory: Floats, name: str, *, is_causal: bool = False) -> Floats:
        query, key, value = (
            np.split(self._affine(of, name, part), self.num_heads, axis=1)
            for of, part in ((x, "q"), (memory, "k"), (memory, "v"))
        )
        heads = []
        for q, k, v in zip(query, key, value, strict=True):
            scores = q @ k.T / math.sqrt(q.shape[1])
            if is_causal:
                scores[np.triu_indices(len(x), 1)] = -np.inf
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v)
        return self._affine(np.concatenate(heads, axis=1), name, "o")

    def _feed_forward(self, x: Floats, name: str) -> Floats:
        return self._affine(self.activation(self._affine(x, name, "1")), name, "2")

    def _ssru(self, x: Floats, name: str) -> Floats:
        candidate = x @ self.w[f"{name}_W"]
        keep = 1 / (1 + np.exp(-(x @ self.w[f"{name}_Wf"] + self.w[f"{name}_bf"])))
        state, states = np.zeros(self.size), []
        for u, g in zip(candidate, keep, strict=True):
            state = g * state + (1 - g) * u
            states.append(state)
        outputs: Floats = np.maximum(np.stack(states), 0)
        return outputs

    def _norm(self, x: Floats, name: str) -> Floats:
        deviation = x - x.mean(axis=1, keepdims=True)
        spread = np.sqrt((deviation**2).mean(axis=1, keepdims=True) + 1e-9)
        normed: Floats = self.w[f"{name}_scale"] * deviation / spread + self.w[f"{name}_bias"]
        return normed
