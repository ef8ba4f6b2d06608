"""Weights as Transformers writes them: named tensors in model.safetensors or pytorch_model.bin.

Knows the files alone, and nothing of what a tensor is for. Nothing that a file brings is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.importers.errors import ForeignModelError, require

SAFETENSORS_NAME, PICKLE_NAME = "model.safetensors", "pytorch_model.bin"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def weight_file(folder: Path) -> Path:
    """The file of a model's weights: the safe one where both are there, as Transformers chooses.

    Raises:
        ForeignModelError: There is none, or the weights lie in several.
    """
    for name in (SAFETENSORS_NAME, PICKLE_NAME):
        if (folder / name).is_file():
            return folder / name
    if parts := sorted(path.name for path in folder.glob("*.index.json")):
        raise ForeignModelError(f"{folder}: {', '.join(parts)}: weights in several files are not supported")
    raise ForeignModelError(f"{folder} has neither {SAFETENSORS_NAME} nor {PICKLE_NAME}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, in fp32.

    Raises:
        ForeignModelError: The file is missing or damaged, it would execute something, or it lists what is no
            tensor, of a type that is not supported, or has a value that is no number.
    """
    try:
        content = load_file(path) if path.name == SAFETENSORS_NAME else _unpickled(path)
    except (OSError, SafetensorError) as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    if not isinstance(content, Mapping):
        raise ForeignModelError(f"{path} holds no tensors by name")
    require([f"{name} {fault}" for name, value in content.items() if (fault := _fault(value))], str(path))
    return {str(name): tensor.detach().float().contiguous() for name, tensor in content.items()}


def _unpickled(path: Path) -> Any:
    """PyTorch's pickles without code: what is no tensor, number, text or collection is refused."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
        reason = str(error).splitlines()[:1] or [repr(error)]
        raise ForeignModelError(f"cannot read {path}: {reason[0]}") from error


def _fault(value: object) -> str | None:
    if not isinstance(value, Tensor):
        return f"is {type(value).__name__}, must be a tensor"
    if value.dtype not in _FLOATS or value.layout != torch.strided or value.is_meta:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in _FLOATS)
        return f"is {value.dtype}, {value.layout}, must be dense and one of {names}".replace("torch.", "")
    return None if bool(value.isfinite().all()) else "has a value that is no number"
