"""Marian's binary format, and that no damage to a file goes by unnamed."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from model.importers.errors import ForeignModelError
from model.importers.marian_binary import read_marian_binary
from model.importers.marian_file import MarianFile
from tests.marian_files import (
    FLOAT32,
    INT8,
    OPTIONS,
    Item,
    float_item,
    integer_item,
    marian_bytes,
    options_item,
)

INTEGERS = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
BIAS = np.array([[0.5, -2.25, 3.0]], np.float32)
ITEMS = [
    integer_item("encoder_l1_self_Wq", INTEGERS, 2.0),
    float_item("encoder_l1_self_bq", BIAS),
    integer_item("Wemb", INTEGERS, 4.0),
    integer_item("Wemb_QuantMultA", np.array([[127]], np.int8), 12.7),
    options_item(OPTIONS),
]
NUM_DAMAGED = 1000


def read(folder: Path, content: bytes) -> MarianFile:
    path = folder / "model.bin"
    path.write_bytes(content)
    return read_marian_binary(path)


def refuses(folder: Path, content: bytes, message: str) -> None:
    with pytest.raises(ForeignModelError, match=rf"model\.bin: {message}"):
        read(folder, content)


def test_tensors_and_options_are_read(tmp_path: Path) -> None:
    file = read(tmp_path, marian_bytes(ITEMS))
    assert file.options == OPTIONS
    assert list(file.tensors) == ["encoder_l1_self_Wq", "encoder_l1_self_bq", "Wemb", "Wemb_QuantMultA"]
    np.testing.assert_array_equal(file.tensors["encoder_l1_self_bq"].values, BIAS)
    assert file.tensors["Wemb_QuantMultA"].values == pytest.approx(10.0)


def test_integers_of_a_product_lie_transposed_and_those_of_embeddings_do_not(tmp_path: Path) -> None:
    tensors = read(tmp_path, marian_bytes(ITEMS)).tensors
    np.testing.assert_array_equal(tensors["encoder_l1_self_Wq"].values, INTEGERS / 2)
    np.testing.assert_array_equal(tensors["Wemb"].values, INTEGERS / 4)
    assert tensors["encoder_l1_self_Wq"].data[:3] == INTEGERS[:, 0].tobytes()
    assert tensors["Wemb"].data[:4] == INTEGERS[0].tobytes()


def test_what_pads_a_tensor_does_not_matter(tmp_path: Path) -> None:
    clean, dirty = (read(tmp_path, marian_bytes(ITEMS, dirt=dirt)) for dirt in (0, 0xFF))
    assert clean == dirty


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (0x2801, "Wemb is packed8avx512, only float32, int8, intgemm8 are supported"),
        (0x1801, "Wemb is packed8avx2"),
        (0x4102, "Wemb is intgemm16"),
        (0x402, "Wemb is float16"),
        (0x777, "damaged: Wemb has the type 0x777"),
    ],
)
def test_a_type_that_is_not_supported_is_named(tmp_path: Path, code: int, message: str) -> None:
    refuses(tmp_path, marian_bytes([Item("Wemb", code, (3, 4), bytes(16)), *ITEMS[3:]]), message)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([*ITEMS[:1], *ITEMS], "damaged: twice the tensor encoder_l1_self_Wq"),
        ([Item("b", FLOAT32, (1, -3), bytes(12)), ITEMS[-1]], r"damaged: b has the shape \(1, -3\)"),
        ([Item("b", FLOAT32, (1,) * 9, bytes(4)), ITEMS[-1]], "damaged: b has 9 axes, must have 1 to 8"),
        (
            [Item("b", FLOAT32, (1, 300), bytes(12)), ITEMS[-1]],
            "damaged: b, float32 of shape .* must have 1200",
        ),
        ([Item("", FLOAT32, (1, 3), bytes(12)), ITEMS[-1]], "damaged: a tensor's name is"),
        ([Item("b\x07", FLOAT32, (1, 3), bytes(12)), ITEMS[-1]], "damaged: a tensor's name is"),
        (ITEMS[:-1], r"no special:model\.yml"),
        ([Item("special:model.yml", FLOAT32, (1, 3), bytes(12))], r"no special:model\.yml"),
        ([Item("special:model.yml", INT8, (2,), b"[\0")], r"damaged: special:model\.yml is no YAML"),
        ([Item("special:model.yml", INT8, (2,), b"3\0")], "damaged: .* is no mapping"),
        ([Item("special:model.yml", INT8, (5001,), b"[" * 5000 + b"\0")], "damaged: .* is no YAML"),
    ],
)
def test_a_damaged_entry_is_named(tmp_path: Path, items: list[Item], message: str) -> None:
    refuses(tmp_path, marian_bytes(items), message)


def test_another_version_is_named(tmp_path: Path) -> None:
    refuses(tmp_path, marian_bytes(ITEMS, version=2), "not a Marian model, or of version 2")


def test_data_that_are_not_aligned_are_refused(tmp_path: Path) -> None:
    content = marian_bytes(ITEMS)
    start = content.index(INTEGERS.T.tobytes()) - len(bytes(8))
    assert content[start : start + 8] == bytes(8)
    refuses(tmp_path, content[:start] + content[start + 8 :], "damaged")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (integer_item("W", np.array([[-128]], np.int8), 1.0), "W has the integer -128"),
        (integer_item("W", np.array([[5]], np.int8), float("nan")), "W has the multiplier nan"),
        (integer_item("W", np.array([[5]], np.int8), -1.0), r"W has the multiplier -1\.0"),
        (integer_item("W", np.array([[5]], np.int8), 1e-42), "W has the multiplier .*, too small"),
        (float_item("W", np.array([[np.inf]], np.float32)), "W has a value that is no number"),
        (Item("W", INT8, (1,), b"\x05"), "W is int8, must be float32 or intgemm8"),
    ],
)
def test_values_that_are_no_weights_are_named(tmp_path: Path, item: Item, message: str) -> None:
    tensor = read(tmp_path, marian_bytes([ITEMS[0], item, ITEMS[-1]])).tensors["W"]
    with pytest.raises(ForeignModelError, match=message):
        _ = tensor.values


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    content = marian_bytes(ITEMS)
    for length in range(0, len(content), 7):
        with pytest.raises(ForeignModelError, match=r"model\.bin: "):
            read(tmp_path, content[:length])
    refuses(tmp_path, content + b"\0", "damaged: 1 bytes behind the last tensor")


def test_damage_is_refused_by_name_or_leaves_a_file_that_fits(tmp_path: Path) -> None:
    """A format without a checksum cannot tell one weight from another; nothing else may go wrong."""
    content = marian_bytes(ITEMS)
    rng, num_refused = random.Random(20), 0
    for _ in range(NUM_DAMAGED):
        damaged = bytearray(content)
        first = rng.randrange(420) if rng.random() < 0.8 else rng.randrange(len(damaged))
        damaged[first : first + rng.choice((1, 1, 4, 8))] = rng.randbytes(rng.choice((1, 1, 4, 8)))
        try:
            tensors = read(tmp_path, bytes(damaged)).tensors
            assert all(tensor.values.shape == tensor.shape for tensor in tensors.values())
        except ForeignModelError:
            num_refused += 1
    assert NUM_DAMAGED // 2 < num_refused < NUM_DAMAGED


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ForeignModelError, match=r"cannot read .*nothing\.bin"):
        read_marian_binary(tmp_path / "nothing.bin")


def test_a_huge_announced_count_takes_no_memory(tmp_path: Path) -> None:
    content = struct.pack("<2Q", 1, 2**60) + bytes(64)
    refuses(tmp_path, content, "damaged: it announces 1152921504606846976 tensors in 64 bytes")
