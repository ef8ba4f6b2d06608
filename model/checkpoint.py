"""A trained model on disk: config.json, weights.safetensors and the tokenizer in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.networks.build import build_model
from model.networks.config_file import model_config, to_json
from model.networks.encoder_decoder import EncoderDecoder
from model.text.sentencepiece_tokenizer import FILE_NAME
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "weights.safetensors"


class CheckpointError(ValueError):
    """A checkpoint's weights do not fit its configuration."""


def unique_weights(model: EncoderDecoder) -> dict[str, Tensor]:
    """The weights, each tied one once, under its first name."""
    seen: set[int] = set()
    weights = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            weights[name] = tensor.detach()
    return weights


def load_weights(model: EncoderDecoder, weights: dict[str, Tensor]) -> None:
    """Copy weights as `unique_weights` names them into a model, converted to its type.

    Raises:
        CheckpointError: names or shapes differ; all faults are listed.
    """
    expected = unique_weights(model)
    faults = [f"{name} is missing" for name in expected.keys() - weights.keys()]
    faults += [f"{name} is unknown" for name in weights.keys() - expected.keys()]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, must be {tuple(expected[name].shape)}"
        for name in expected.keys() & weights.keys()
        if expected[name].shape != weights[name].shape
    ]
    if faults:
        raise CheckpointError("weights do not fit the configuration: " + "; ".join(sorted(faults)))
    for name, tensor in expected.items():
        tensor.copy_(weights[name])


def save_checkpoint(
    folder: Path, model: EncoderDecoder, tokenizer: Tokenizer, dtype: torch.dtype = torch.float32
) -> None:
    """Write a checkpoint; fp16 halves its size."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in unique_weights(model).items()}
    save_file(weights, folder / WEIGHTS_NAME)
    (folder / CONFIG_NAME).write_text(to_json(model.config), encoding="utf-8")
    tokenizer.save(folder)


def load_checkpoint(folder: Path) -> tuple[EncoderDecoder, Tokenizer]:
    """Read a checkpoint as an fp32 model in evaluation mode.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights do not fit the configuration.
        ConfigError: the configuration is impossible.
    """
    if missing := [n for n in (CONFIG_NAME, WEIGHTS_NAME, FILE_NAME) if not (folder / n).is_file()]:
        raise CheckpointError(f"{folder} has no {' and no '.join(missing)}")
    try:
        fields = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS_NAME)
    except (ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from error
    config = model_config(fields)
    model = build_model(config)
    load_weights(model, weights)
    tokenizer = load_tokenizer(folder)
    sizes = (tokenizer.size, tokenizer.source_size)
    if sizes[0] != config.vocabulary_size:
        raise CheckpointError(f"{folder}: tokenizer has {sizes[0]} pieces, model {config.vocabulary_size}")
    if sizes[1] != config.num_source_pieces:
        raise CheckpointError(
            f"{folder}: tokenizer has {sizes[1]} pieces for sources, model {config.num_source_pieces}"
        )
    if tokenizer.special_ids != config.special_ids:
        raise CheckpointError(f"{folder}: tokenizer has {tokenizer.special_ids}, model {config.special_ids}")
    return model.eval(), tokenizer
