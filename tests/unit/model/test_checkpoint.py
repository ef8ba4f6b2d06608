"""A checkpoint gives back the model that was saved, or says all that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.checkpoint import (
    WEIGHTS_NAME,
    CheckpointError,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    unique_weights,
)
from model.networks.transformer import Transformer
from model.text.sentencepiece_tokenizer import FILE_NAME
from model.text.tokenizer import Tokenizer


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_fp32_weights_come_back_bit_for_bit(
    make_model: Callable[..., Transformer], tokenizer: Tokenizer, tmp_path: Path, *, tie_embeddings: bool
) -> None:
    model = make_model(norm="post", positions="learned", tie_embeddings=tie_embeddings)
    save_checkpoint(tmp_path, model, tokenizer)
    loaded, loaded_tokenizer = load_checkpoint(tmp_path)
    assert loaded.config == model.config
    assert loaded_tokenizer.serialized == tokenizer.serialized
    assert not loaded.training
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


def test_fp16_halves_the_file_and_keeps_the_weights_to_half_precision(
    make_model: Callable[..., Transformer], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    save_checkpoint(tmp_path / "whole", model, tokenizer)
    save_checkpoint(tmp_path / "half", model, tokenizer, torch.float16)
    whole, half = ((tmp_path / name / WEIGHTS_NAME).stat().st_size for name in ("whole", "half"))
    assert half < 0.6 * whole
    loaded, _ = load_checkpoint(tmp_path / "half")
    for name, weight in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=2**-11, atol=1e-7)


def test_a_tied_matrix_is_stored_once(make_model: Callable[..., Transformer]) -> None:
    tied, untied = (unique_weights(make_model(tie_embeddings=tied)) for tied in (True, False))
    matrices = {"target_embedding.tokens.weight", "output.weight"}
    assert untied.keys() - tied.keys() == matrices


def test_every_weight_that_does_not_fit_is_listed(make_model: Callable[..., Transformer]) -> None:
    model = make_model()
    weights = unique_weights(make_model(seed=1))
    del weights["encoder_norm.weight"], weights["decoder_norm.bias"]
    weights["encoder_norm.scale"] = torch.ones(32)
    weights["encoder_norm.bias"] = torch.ones(31)
    before = {name: weight.clone() for name, weight in unique_weights(model).items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, weights)
    for fault in (
        "encoder_norm.weight is missing",
        "decoder_norm.bias is missing",
        "encoder_norm.scale is unknown",
        "encoder_norm.bias has shape (31,), must be (32,)",
    ):
        assert fault in str(caught.value)
    for name, weight in unique_weights(model).items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json and no weights\.safetensors"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_without_its_tokenizer_is_refused(
    make_model: Callable[..., Transformer], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, make_model(), tokenizer)
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.model"):
        load_checkpoint(tmp_path)


def test_a_tokenizer_of_another_size_is_refused(
    make_model: Callable[..., Transformer], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, make_model(vocabulary_size=601), tokenizer)
    with pytest.raises(CheckpointError, match="tokenizer has 600 pieces, model 601"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_damaged_file_is_refused(
    make_model: Callable[..., Transformer], tokenizer: Tokenizer, tmp_path: Path, name: str
) -> None:
    save_checkpoint(tmp_path, make_model(), tokenizer)
    (tmp_path / name).write_bytes(b"{damaged")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path)
