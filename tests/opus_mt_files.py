"""Makes folders as Transformers writes OPUS-MT's models: SentencePiece files, a vocabulary and the rest."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor

SPECIAL_PIECES = ("<unk>", "<s>", "</s>")
SIZE, INNER, HEADS, LAYERS = 16, 24, 2, 2


def sentencepiece_bytes(texts: Sequence[str], size: int = 300, **options: Any) -> bytes:
    """A SentencePiece model with the special ids that OPUS-MT's have: unknown, start, end, no padding."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=size, minloglevel=2, **options
    )
    return model.getvalue()


def pieces_of(model: bytes) -> list[str]:
    """Its pieces but for the special ones."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [str(processor.IdToPiece(i)) for i in range(processor.GetPieceSize())]
    return [piece for piece in pieces if piece not in SPECIAL_PIECES]


def vocabulary_of(*models: bytes, marks: Sequence[str] = ()) -> list[str]:
    """Pieces by id: the end and the unknown first, padding last, what the models have in another order."""
    pieces = dict.fromkeys(sorted(piece for model in models for piece in pieces_of(model)))
    return ["</s>", "<unk>", *marks, *pieces, "<pad>"]


def write_tokenizer(
    folder: Path,
    source: bytes,
    target: bytes,
    *,
    marks: Sequence[str] = (),
    languages: tuple[str, str] = ("en", "it"),
    separate: bool = False,
) -> Path:
    """The tokenizer's files; with `separate` vocabularies the source's and the target's are two."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    fields: dict[str, object] = {"source_lang": languages[0], "target_lang": languages[1]}
    if separate:
        fields |= {"separate_vocabs": True}
        write_json(folder / "vocab.json", _ids(vocabulary_of(source)))
        write_json(folder / "target_vocab.json", _ids(vocabulary_of(target)))
    else:
        write_json(folder / "vocab.json", _ids(vocabulary_of(source, target, marks=marks)))
    write_json(folder / "tokenizer_config.json", fields)
    return folder


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _ids(pieces: Sequence[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(pieces)}


def configuration(vocabulary_size: int, **fields: object) -> dict[str, object]:
    """What config.json of a small model says, as older versions wrote it; `fields` take places in it."""
    return {
        "activation_function": "swish",
        "add_final_layer_norm": False,
        "architectures": ["MarianMTModel"],
        "bad_words_ids": [[vocabulary_size - 1]],
        "d_model": SIZE,
        "decoder_attention_heads": HEADS,
        "decoder_ffn_dim": INNER,
        "decoder_layers": LAYERS,
        "decoder_start_token_id": vocabulary_size - 1,
        "encoder_attention_heads": HEADS,
        "encoder_ffn_dim": INNER,
        "encoder_layers": LAYERS,
        "eos_token_id": 0,
        "is_encoder_decoder": True,
        "max_length": 512,
        "max_position_embeddings": 32,
        "model_type": "marian",
        "normalize_before": False,
        "normalize_embedding": False,
        "num_beams": 4,
        "pad_token_id": vocabulary_size - 1,
        "scale_embedding": True,
        "static_position_embeddings": True,
        "vocab_size": vocabulary_size,
    } | fields


def random_tensors(sizes: Mapping[str, int], seed: int = 0) -> dict[str, Tensor]:
    """Weights by Transformers' names: a table for each entry of `sizes` (name to rows) and all layers."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    tensors = {name: SIZE**-0.5 * normal(rows, SIZE) for name, rows in sizes.items()}
    tensors["final_logits_bias"] = normal(1, list(sizes.values())[-1])

    def affine(name: str, rows: int, columns: int) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 0.5 * normal(rows, columns), 0.3 * normal(rows)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + 0.3 * normal(SIZE), 0.3 * normal(SIZE)

    for part, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "encoder_attn"])):
        for layer in (f"model.{part}.layers.{i}" for i in range(LAYERS)):
            for attention in attentions:
                for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    affine(f"{layer}.{attention}.{projection}", SIZE, SIZE)
                norm(f"{layer}.{attention}_layer_norm")
            affine(f"{layer}.fc1", INNER, SIZE)
            affine(f"{layer}.fc2", SIZE, INNER)
            norm(f"{layer}.final_layer_norm")
    return tensors


def write_opus_mt(folder: Path, source: bytes, target: bytes, *, marks: Sequence[str] = ()) -> Path:
    """A whole folder of a model of random weights, with one vocabulary."""
    write_tokenizer(folder, source, target, marks=marks)
    size = len(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))
    write_json(folder / "config.json", configuration(size))
    save_file(random_tensors({"model.shared.weight": size}), folder / "model.safetensors")
    return folder
