"""Makes files in Marian's formats: small students with random weights, and what a test wants to damage."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import yaml
from numpy.typing import NDArray

FLOAT32, INT8, INTGEMM8 = 0x404, 0x101, 0x4101
SHORTLIST_MAGIC = 0xF11A48D5013417F5
SIZES = {"dim-emb": 16, "transformer-heads": 2, "transformer-dim-ffn": 24, "enc-depth": 2, "dec-depth": 2}
OPTIONS: dict[str, Any] = {
    "dec-cell": "ssru",
    "dim-rnn": 1024,
    "enc-cell": "gru",
    "input-types": [],
    "layer-normalization": False,
    "lemma-dim-emb": 0,
    "output-omit-bias": False,
    "tied-embeddings": False,
    "tied-embeddings-all": True,
    "transformer-decoder-autoreg": "rnn",
    "transformer-ffn-activation": "relu",
    "transformer-ffn-depth": 2,
    "transformer-no-projection": False,
    "transformer-postprocess": "dan",
    "transformer-postprocess-emb": "d",
    "transformer-postprocess-top": "",
    "transformer-preprocess": "",
    "transformer-tied-layers": [],
    "transformer-train-position-embeddings": False,
    "type": "transformer",
    **SIZES,
}


@dataclass(frozen=True)
class Item:
    """An entry of a file as it is written; `data` is padded there."""

    name: str
    code: int
    shape: tuple[int, ...]
    data: bytes


def float_item(name: str, values: NDArray[np.float32]) -> Item:
    return Item(name, FLOAT32, values.shape, values.astype("<f4").tobytes())


def integer_item(name: str, integers: NDArray[np.int8], multiplier: float) -> Item:
    """An intgemm8 item of integers in the shape that a matrix is multiplied in, (in, out)."""
    stored = integers if "Wemb" in name else integers.T
    return Item(name, INTGEMM8, integers.shape, stored.tobytes() + struct.pack("<f", multiplier))


def options_item(options: Mapping[str, Any]) -> Item:
    content = yaml.safe_dump(dict(options)).encode() + b"\0"
    return Item("special:model.yml", INT8, (len(content),), content)


def marian_bytes(items: Sequence[Item], *, version: int = 1, dirt: int = 0x5A) -> bytes:
    """A whole file; what pads tensors is `dirt`, as memory that nobody cleared."""
    padded = [(len(item.data) if item.code == INT8 else -(-len(item.data) // 256) * 256) for item in items]
    names = [item.name.encode() + b"\0" for item in items]
    head = struct.pack("<2Q", version, len(items))
    for item, name, size in zip(items, names, padded, strict=True):
        head += struct.pack("<4Q", len(name), item.code, len(item.shape), size)
    head += b"".join(names) + b"".join(struct.pack(f"<{len(i.shape)}i", *i.shape) for i in items)
    offset = -(len(head) + 8) % 256
    content = head + struct.pack("<Q", offset) + bytes(offset)
    for item, size in zip(items, padded, strict=True):
        content += item.data.ljust(size, bytes([dirt]))
    return content


def student_items(
    vocabulary_size: int, seed: int = 0, *, source_size: int | None = None, **options: object
) -> list[Item]:
    """A student of random weights that let every part of it show; `options` take the place of `OPTIONS`.

    With `source_size` the source has a vocabulary of its own.
    """
    random = np.random.default_rng(seed)
    size, inner = SIZES["dim-emb"], SIZES["transformer-dim-ffn"]
    items: list[Item] = []

    def matrix(name: str, rows: int, columns: int, scale: float) -> None:
        integers = random.integers(-127, 128, (rows, columns)).astype(np.int8)
        items.append(integer_item(name, integers, 127 / scale))
        items.append(float_item(f"{name}_QuantMultA", np.array([[12.7]], np.float32)))

    def vector(name: str, length: int, mean: float = 0.0) -> None:
        items.append(float_item(name, (mean + 0.3 * random.standard_normal((1, length))).astype(np.float32)))

    def norm(name: str) -> None:
        vector(f"{name}_scale", size, 1.0)
        vector(f"{name}_bias", size)

    def attention(name: str) -> None:
        for part in "qkvo":
            matrix(f"{name}_W{part}", size, size, 0.8)
            vector(f"{name}_b{part}", size)
        norm(f"{name}_Wo_ln")

    def feed_forward(name: str) -> None:
        matrix(f"{name}_ffn_W1", size, inner, 0.6)
        vector(f"{name}_ffn_b1", inner)
        matrix(f"{name}_ffn_W2", inner, size, 0.6)
        vector(f"{name}_ffn_b2", size)
        norm(f"{name}_ffn_ffn_ln")

    if source_size is None:
        matrix("Wemb", vocabulary_size, size, 0.9)
    else:
        matrix("encoder_Wemb", source_size, size, 0.9)
        matrix("decoder_Wemb", vocabulary_size, size, 0.9)
        options = {"tied-embeddings-all": False, "tied-embeddings": True, **options}
    vector("decoder_ff_logit_out_b", vocabulary_size)
    for i in range(1, SIZES["enc-depth"] + 1):
        attention(f"encoder_l{i}_self")
        feed_forward(f"encoder_l{i}")
    for i in range(1, SIZES["dec-depth"] + 1):
        matrix(f"decoder_l{i}_rnn_W", size, size, 1.2)
        matrix(f"decoder_l{i}_rnn_Wf", size, size, 0.8)
        vector(f"decoder_l{i}_rnn_bf", size)
        norm(f"decoder_l{i}_rnn_ffn_ln")
        attention(f"decoder_l{i}_context")
        feed_forward(f"decoder_l{i}")
    items.append(float_item("none_QuantMultA", np.array([[12.7]], np.float32)))
    items.append(
        options_item({**OPTIONS, "dim-vocabs": [source_size or vocabulary_size, vocabulary_size], **options})
    )
    return items


def vocabulary_bytes(sentences: Sequence[str], size: int = 300) -> bytes:
    """A SentencePiece model with special ids as Firefox has them."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=size,
        eos_id=0,
        unk_id=1,
        bos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def checksum(words: bytes) -> int:
    h = 0
    for (word,) in struct.iter_unpack("<Q", words[: len(words) // 8 * 8]):
        h ^= (word + 0x9E3779B9 + ((h << 6) & (2**64 - 1)) + (h >> 2)) % 2**64
    return h


def shortlist_bytes(rows: Sequence[Sequence[int]], num_frequent: int = 10) -> bytes:
    """A lexical shortlist of these rows, one for each source token."""
    offsets = np.cumsum([0, *map(len, rows)]).astype("<u8")
    ids = np.array([i for row in rows for i in row], "<u4")
    body = struct.pack("<4Q", num_frequent, 50, len(offsets), len(ids)) + offsets.tobytes() + ids.tobytes()
    return struct.pack("<2Q", SHORTLIST_MAGIC, checksum(body)) + body


def write_student(folder: Path, vocabulary: bytes, *, size: int = 300, seed: int = 0) -> Path:
    """A folder of a student as Firefox names its files, without shortlist and search options."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.enit.intgemm.alphas.bin").write_bytes(marian_bytes(student_items(size, seed)))
    (folder / "vocab.enit.spm").write_bytes(vocabulary)
    return folder
