"""Makes folders as Transformers writes M2M-100 and NLLB-200: one SentencePiece file, and small weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from model.importers.multilingual_languages import M2M_100, NLLB_200
from tests.opus_mt_files import (
    HEADS,
    INNER,
    LAYERS,
    SIZE,
    pieces_of,
    random_tensors,
    sentencepiece_bytes,
    write_json,
)

SHARED = "model.shared.weight"
NUM_UNUSED = 2
NUM_PIECES = 200


def spm_bytes(texts: Sequence[str]) -> bytes:
    """BPE without byte fallback, as the published ones."""
    return sentencepiece_bytes(texts, NUM_PIECES, model_type="bpe")


def m2m_vocabulary(model: bytes) -> list[str]:
    """The pieces of vocab.json, in an order that is not the file's."""
    return ["<s>", "<pad>", "</s>", "<unk>", *sorted(pieces_of(model))]


def configuration(vocabulary_size: int, **fields: object) -> dict[str, object]:
    """What config.json of a small model says; `fields` take places in it."""
    return {
        "activation_function": "relu",
        "architectures": ["M2M100ForConditionalGeneration"],
        "bos_token_id": 0,
        "d_model": SIZE,
        "decoder_attention_heads": HEADS,
        "decoder_ffn_dim": INNER,
        "decoder_layers": LAYERS,
        "decoder_start_token_id": 2,
        "encoder_attention_heads": HEADS,
        "encoder_ffn_dim": INNER,
        "encoder_layers": LAYERS,
        "eos_token_id": 2,
        "is_encoder_decoder": True,
        "max_position_embeddings": 64,
        "model_type": "m2m_100",
        "pad_token_id": 1,
        "scale_embedding": True,
        "vocab_size": vocabulary_size,
    } | fields


def tensors_of(vocabulary_size: int, seed: int = 0) -> dict[str, Tensor]:
    """Random weights by Transformers' names."""
    tensors = random_tensors({SHARED: vocabulary_size}, seed)
    del tensors["final_logits_bias"]
    generator = torch.Generator().manual_seed(seed)
    for part in ("encoder", "decoder"):
        tensors[f"model.{part}.layer_norm.weight"] = 1 + 0.3 * torch.randn(SIZE, generator=generator)
        tensors[f"model.{part}.layer_norm.bias"] = 0.3 * torch.randn(SIZE, generator=generator)
    return tensors


def write_m2m_100(folder: Path, model: bytes) -> Path:
    """A whole folder of M2M-100's kind."""
    vocabulary = m2m_vocabulary(model)
    marks = [f"__{code}__" for code in M2M_100]
    size = _write(folder, model, len(vocabulary) + len(marks))
    write_json(folder / "vocab.json", {piece: i for i, piece in enumerate(vocabulary)})
    write_json(folder / "tokenizer_config.json", _settings("M2M100Tokenizer", marks))
    save_file(tensors_of(size), folder / "model.safetensors")
    return folder


def write_nllb(folder: Path, model: bytes, *, legacy: bool = False) -> Path:
    """A whole folder of NLLB-200's kind."""
    size = write_nllb_tokenizer(folder, model, legacy=legacy)
    save_file(tensors_of(size, seed=1), folder / "model.safetensors")
    return folder


def write_nllb_tokenizer(folder: Path, model: bytes, *, legacy: bool = False) -> int:
    """All but the weights of a small model; gives the size of its vocabulary."""
    first = 4 + len(pieces_of(model))
    size = _write(folder, model, first + len(NLLB_200) + 1)
    settings = _settings("NllbTokenizer", list(NLLB_200)) | {"legacy_behaviour": legacy}
    added = dict(enumerate(("<s>", "<pad>", "</s>", "<unk>")))
    added |= dict(enumerate((*NLLB_200, "<mask>"), first))
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False) | {"special": True}
    settings["added_tokens_decoder"] = {str(i): {"content": piece, **flags} for i, piece in added.items()}
    write_json(folder / "tokenizer_config.json", settings)
    return size


def _settings(kind: str, marks: list[str]) -> dict[str, Any]:
    return {"tokenizer_class": kind, "additional_special_tokens": marks}


def _write(folder: Path, model: bytes, num_pieces: int) -> int:
    folder.mkdir(parents=True)
    (folder / "sentencepiece.bpe.model").write_bytes(model)
    write_json(folder / "config.json", configuration(num_pieces + NUM_UNUSED))
    ids = {"bos_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}
    search = {"max_length": 200, "num_beams": 5, "early_stopping": True}
    write_json(folder / "generation_config.json", ids | search)
    return num_pieces + NUM_UNUSED
