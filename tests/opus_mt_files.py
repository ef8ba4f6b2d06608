"""Makes folders as Transformers writes OPUS-MT's models: SentencePiece files, a vocabulary and the rest."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece

SPECIAL_PIECES = ("<unk>", "<s>", "</s>")


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
