"""ONNX's TensorScatter as a PyTorch operator: real in PyTorch, one node in the exported graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript.values import Opset
from torch import Tensor

OPSET = 24  # the first with TensorScatter; ONNX Runtime 1.31 takes up to 26

opset = Opset("", OPSET)


@torch.library.custom_op("traghetto::tensor_scatter", mutates_args=())
def tensor_scatter(cache: Tensor, update: Tensor, write_index: Tensor) -> Tensor:
    """A copy of cache with each row's update written from its own index on.

    Args:
        cache: (n, H, M, D).
        update: (n, H, W, D).
        write_index: (n), the first of W columns in the row; index + W must not exceed M.

    Source: ONNX operator TensorScatter, opset 24, axis -2.
    """
    columns = write_index[:, None] + torch.arange(update.shape[2], device=cache.device)  # (n, W)
    index = columns[:, None, :, None].expand(update.shape)  # (n, H, W, D)
    return cache.scatter(2, index, update)


@tensor_scatter.register_fake
def _(cache: Tensor, update: Tensor, write_index: Tensor) -> Tensor:  # noqa: ARG001  the operator's arguments
    return torch.empty_like(cache)


def _to_onnx(cache: Any, update: Any, write_index: Any) -> Any:
    return opset.TensorScatter(cache, update, write_index)


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How the exporter writes the operator: as one TensorScatter node."""
    return {torch.ops.traghetto.tensor_scatter.default: _to_onnx}
