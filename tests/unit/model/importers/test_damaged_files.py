"""A thousand and more damaged files of every kind that is read: refused by name, nothing else is raised."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.importers.errors import ForeignModelError
from model.importers.json_file import read_json
from model.importers.marian_binary import read_marian_binary
from model.importers.marian_npz import read_marian_npz
from model.importers.marian_shortlist import read_marian_shortlist
from model.importers.marian_vocabulary import read_vocabulary
from model.importers.sentencepiece_file import read_sentencepiece
from model.importers.weight_files import PICKLE_NAME, SAFETENSORS_NAME, read_weights
from tests.marian_files import (
    marian_bytes,
    native_arrays,
    npz_bytes,
    shortlist_bytes,
    student_items,
    vocabulary_yaml,
)
from tests.opus_mt_files import sentencepiece_bytes, vocabulary_of, write_json

Damage = Callable[[bytes, random.Random], bytes]
SEED = 20_26
NUM_EACH = 50


def cut(content: bytes, chooser: random.Random) -> bytes:
    """End too early, by a byte or by nearly all."""
    return content[: chooser.randrange(len(content))]


def cut_in_front(content: bytes, chooser: random.Random) -> bytes:
    """More than the two bytes that an old pickle may do without."""
    return content[chooser.randint(3, 64) :]


def overwrite_the_start(content: bytes, chooser: random.Random) -> bytes:
    """No file begins with noise."""
    return chooser.randbytes(32) + content[32:]


def change_a_byte(content: bytes, chooser: random.Random) -> bytes:
    place = chooser.randrange(len(content))
    return content[:place] + bytes([content[place] ^ chooser.randint(1, 255)]) + content[place + 1 :]


def write_json_file(path: Path, model: bytes) -> None:
    write_json(path, {piece: i for i, piece in enumerate(vocabulary_of(model))})


def write_pickle(path: Path, _: bytes) -> None:
    torch.save({"model.shared.weight": torch.ones(20, 4), "final_logits_bias": torch.zeros(1, 20)}, path)


def write_old_pickle(path: Path, _: bytes) -> None:
    tensors = {"model.shared.weight": torch.ones(20, 4)}
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def write_safetensors(path: Path, _: bytes) -> None:
    save_file({"model.shared.weight": torch.ones(20, 4), "final_logits_bias": torch.zeros(1, 20)}, path)


def write_npz(path: Path, _: bytes) -> None:
    path.write_bytes(npz_bytes(native_arrays(20, path.parent)))


def write_vocabulary(path: Path, model: bytes) -> None:
    path.write_text(vocabulary_yaml(vocabulary_of(model)), encoding="utf-8")


READERS: dict[str, tuple[str, Callable[[Path, bytes], object], Callable[[Path], object]]] = {
    "json": ("vocab.json", write_json_file, read_json),
    "sentencepiece": ("source.spm", Path.write_bytes, read_sentencepiece),
    "safetensors": (SAFETENSORS_NAME, write_safetensors, read_weights),
    "pickle": (PICKLE_NAME, write_pickle, read_weights),
    "old pickle": (PICKLE_NAME, write_old_pickle, read_weights),
    "marian": (
        "model.enit.bin",
        lambda path, _: path.write_bytes(marian_bytes(student_items(20))),
        read_marian_binary,
    ),
    "native marian": ("model.enit.npz", write_npz, read_marian_npz),
    "vocabulary": ("vocab.yml", write_vocabulary, read_vocabulary),
    "shortlist": (
        "lex.enit.bin",
        lambda path, _: path.write_bytes(shortlist_bytes([[7]] * 20)),
        lambda path: read_marian_shortlist(path, 20),
    ),
}


@pytest.fixture(scope="module")
def model(pairs: list[tuple[str, str]]) -> bytes:
    return sentencepiece_bytes([a for a, _ in pairs], 120)


def damaged(
    path: Path, damage: Damage, chooser: random.Random, read: Callable[[Path], object], count: int
) -> Iterator[str | None]:
    """What the reader says of each damaged file; None of one that it takes."""
    whole = path.read_bytes()
    for _ in range(count):
        path.write_bytes(damage(whole, chooser))
        try:
            read(path)
        except ForeignModelError as refusal:
            yield str(refusal)
        else:
            yield None
    path.write_bytes(whole)


# A vocabulary that is cut between two lines is whole to its reader: the model's size then tells.
@pytest.mark.parametrize("kind", sorted(READERS.keys() - {"vocabulary"}))
def test_files_that_cannot_be_whole_are_refused_by_name(kind: str, model: bytes, tmp_path: Path) -> None:
    name, write, read = READERS[kind]
    path, chooser = tmp_path / name, random.Random(SEED)
    write(path, model)
    read(path)
    for damage in (cut, cut_in_front, overwrite_the_start):
        refusals = list(damaged(path, damage, chooser, read, NUM_EACH))
        assert all(refusal is not None and str(path) in refusal for refusal in refusals), damage


@pytest.mark.parametrize("kind", READERS)
def test_a_changed_byte_is_refused_or_read_and_raises_nothing_else(
    kind: str, model: bytes, tmp_path: Path
) -> None:
    name, write, read = READERS[kind]
    path = tmp_path / name
    write(path, model)
    refusals = list(damaged(path, change_a_byte, random.Random(SEED), read, NUM_EACH))
    assert all(refusal is None or str(path) in refusal for refusal in refusals)
