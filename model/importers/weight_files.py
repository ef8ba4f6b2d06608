"""Weights as Transformers writes them: named tensors in model.safetensors or pytorch_model.bin, or in parts.

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
from model.importers.json_file import read_json

SAFETENSORS_NAME, PICKLE_NAME = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def weight_file(folder: Path) -> Path:
    """The file of a model's weights, or the index of several: the safe ones first, as Transformers chooses.

    Raises:
        ForeignModelError: There is none.
    """
    for name in (SAFETENSORS_NAME, SAFETENSORS_NAME + _INDEX, PICKLE_NAME, PICKLE_NAME + _INDEX):
        if (folder / name).is_file():
            return folder / name
    names = f"{SAFETENSORS_NAME} nor {PICKLE_NAME}"
    raise ForeignModelError(f"{folder} has neither {names}, nor an index of several files ({_INDEX})")


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, or of those that an index names, in fp32 by their names.

    Raises:
        ForeignModelError: The file is missing or damaged, it would execute something, or it lists what is no
            tensor, of a type that is not supported, or has a value that is no number; or an index says that
            other tensors are in its files.
    """
    if not path.name.endswith(_INDEX):
        return _read_file(path)
    tensors: dict[str, Tensor] = {}
    for name, expected in _files_of(path).items():
        found = _read_file(path.with_name(name))
        faults = [f"{key} is not in {name}" for key in sorted(expected - found.keys())]
        require(
            faults + [f"{key} of {name} is not listed" for key in sorted(found.keys() - expected)], str(path)
        )
        tensors |= found
    return tensors


def _files_of(path: Path) -> dict[str, set[str]]:
    """By the names of an index' files what is in each."""
    places = read_json(path).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ForeignModelError(f"{path} is damaged: no weight_map")
    ending = Path(path.name.removesuffix(_INDEX)).suffix
    files: dict[str, set[str]] = {}
    for key, name in places.items():
        if not isinstance(name, str) or Path(name).name != name or Path(name).suffix != ending:
            raise ForeignModelError(f"{path}: {key} is in {name!r}, must be in a {ending} file beside it")
        files.setdefault(name, set()).add(key)
    return files


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        content = load_file(path) if path.suffix == Path(SAFETENSORS_NAME).suffix else _unpickled(path)
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
