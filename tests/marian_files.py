"""Makes files in Marian's formats: small students with random weights, and what a test wants to damage."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import yaml
from numpy.typing import NDArray

from model.importers.marian_binary import read_marian_binary
from model.importers.marian_file import MarianFile
from tests.opus_mt_files import vocabulary_of

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
SELF_ATTENTION: dict[str, Any] = {
    "dec-cell": "gru",
    "transformer-decoder-autoreg": "self-attention",
    "transformer-ffn-activation": "swish",
    "transformer-guided-alignment-layer": "last",
}
NATIVE_MODEL = "opus.spm32k-spm32k.transformer-align.model1.npz"
NATIVE_VOCABULARY = "opus.spm32k-spm32k.vocab.yml"


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

    With `source_size` the source has a vocabulary of its own. What `options` say of the decoder and of the
    output layer is what the items are of.
    """
    items = _RandomItems(np.random.default_rng(seed))
    size = SIZES["dim-emb"]
    if source_size is None:
        items.matrix("Wemb", vocabulary_size, size, 0.9)
    else:
        items.matrix("encoder_Wemb", source_size, size, 0.9)
        items.matrix("decoder_Wemb", vocabulary_size, size, 0.9)
        options = {"tied-embeddings-all": False, "tied-embeddings": True, **options}
        if not options["tied-embeddings"]:
            items.matrix("decoder_ff_logit_out_W", size, vocabulary_size, 0.9)
    items.vector("decoder_ff_logit_out_b", vocabulary_size)
    for i in range(1, SIZES["enc-depth"] + 1):
        items.attention(f"encoder_l{i}_self")
        items.feed_forward(f"encoder_l{i}")
    has_attention = options.get("transformer-decoder-autoreg") == "self-attention"
    for i in range(1, SIZES["dec-depth"] + 1):
        items.attention(f"decoder_l{i}_self") if has_attention else items.recurrence(f"decoder_l{i}_rnn")
        items.attention(f"decoder_l{i}_context")
        items.feed_forward(f"decoder_l{i}")
    items.append(float_item("none_QuantMultA", np.array([[12.7]], np.float32)))
    vocabularies = [source_size or vocabulary_size, vocabulary_size]
    items.append(options_item({**OPTIONS, "dim-vocabs": vocabularies, **options}))
    return list(items)


class _RandomItems(list[Item]):
    """Items of the parts of a network."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__()
        self._random = random

    def matrix(self, name: str, rows: int, columns: int, scale: float) -> None:
        integers = self._random.integers(-127, 128, (rows, columns)).astype(np.int8)
        self.append(integer_item(name, integers, 127 / scale))
        self.append(float_item(f"{name}_QuantMultA", np.array([[12.7]], np.float32)))

    def vector(self, name: str, length: int, mean: float = 0.0) -> None:
        values = mean + 0.3 * self._random.standard_normal((1, length))
        self.append(float_item(name, values.astype(np.float32)))

    def norm(self, name: str) -> None:
        self.vector(f"{name}_scale", SIZES["dim-emb"], 1.0)
        self.vector(f"{name}_bias", SIZES["dim-emb"])

    def attention(self, name: str) -> None:
        size = SIZES["dim-emb"]
        for part in "qkvo":
            self.matrix(f"{name}_W{part}", size, size, 0.8)
            self.vector(f"{name}_b{part}", size)
        self.norm(f"{name}_Wo_ln")

    def feed_forward(self, name: str) -> None:
        size, inner = SIZES["dim-emb"], SIZES["transformer-dim-ffn"]
        self.matrix(f"{name}_ffn_W1", size, inner, 0.6)
        self.vector(f"{name}_ffn_b1", inner)
        self.matrix(f"{name}_ffn_W2", inner, size, 0.6)
        self.vector(f"{name}_ffn_b2", size)
        self.norm(f"{name}_ffn_ffn_ln")

    def recurrence(self, name: str) -> None:
        size = SIZES["dim-emb"]
        self.matrix(f"{name}_W", size, size, 1.2)
        self.matrix(f"{name}_Wf", size, size, 0.8)
        self.vector(f"{name}_bf", size)
        self.norm(f"{name}_ffn_ln")


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


def npz_bytes(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """An archive as Marian writes it."""
    file = io.BytesIO()
    np.savez(file, **dict[str, Any](arrays))
    return file.getvalue()


def as_arrays(file: MarianFile, **options: object) -> dict[str, NDArray[np.generic]]:
    """The entries of an archive of the same network, its integers as the numbers that they stand for."""
    content = yaml.safe_dump({**file.options, **options}).encode() + b"\0"
    arrays: dict[str, NDArray[np.generic]] = {"special:model.yml": np.frombuffer(content, np.int8)}
    for name, tensor in file.tensors.items():
        if not name.endswith("_QuantMultA"):
            arrays[name] = tensor.values
    return arrays


def native_arrays(vocabulary_size: int, folder: Path, **options: Any) -> dict[str, NDArray[np.generic]]:
    """The entries of an archive of random weights, see `student_items`."""
    path = folder / "model.bin"
    path.write_bytes(marian_bytes(student_items(vocabulary_size, **options)))
    arrays = as_arrays(read_marian_binary(path))
    path.unlink()
    return arrays


def vocabulary_yaml(pieces: Sequence[str]) -> str:
    """A vocabulary as Marian writes it."""
    return "".join(f"{json.dumps(piece, ensure_ascii=False)}: {i}\n" for i, piece in enumerate(pieces))


def write_native(folder: Path, *models: bytes, marks: Sequence[str] = (), **options: Any) -> Path:
    """A folder as OPUS-MT was released, of random weights.

    Args:
        models: SentencePiece's, of source and target.
    """
    folder.mkdir(parents=True)
    *pieces, _ = vocabulary_of(*models, marks=marks)  # the last is a padding, which Marian has not
    arrays = native_arrays(len(pieces), folder, **{**SELF_ATTENTION, **options})
    (folder / NATIVE_MODEL).write_bytes(npz_bytes(arrays))
    (folder / NATIVE_VOCABULARY).write_text(vocabulary_yaml(pieces), encoding="utf-8")
    for name, model in zip(("source.spm", "target.spm"), models, strict=True):
        (folder / name).write_bytes(model)
    search = {"models": [NATIVE_MODEL], "vocabs": [NATIVE_VOCABULARY] * 2, "beam-size": 6, "normalize": 1}
    search |= {"relative-paths": True, "word-penalty": 0, "mini-batch": 1, "maxi-batch-sort": "src"}
    (folder / "decoder.yml").write_text(yaml.safe_dump(search), encoding="utf-8")
    (folder / "preprocess.sh").touch()
    return folder
