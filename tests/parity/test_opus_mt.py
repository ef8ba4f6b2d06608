"""OPUS-MT as it is imported, beside Transformers' own classes: ids, numbers, texts."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

from model.importers.opus_mt import import_opus_mt
from model.text.tokenizer import Tokenizer
from tests.opus_mt_files import (
    configuration,
    random_tensors,
    sentencepiece_bytes,
    write_json,
    write_opus_mt,
    write_tokenizer,
)

LIMIT = 1e-4
library: Any = transformers  # half of it is without types
SOURCE_SIZE, TARGET_SIZE = 220, 200
SPECIAL = ("</s>", "<unk>", "<pad>")


@pytest.fixture(scope="module")
def models(pairs: list[tuple[str, str]]) -> tuple[bytes, bytes]:
    english, italian = ([pair[side] for pair in pairs] for side in (0, 1))
    return sentencepiece_bytes(english, SOURCE_SIZE), sentencepiece_bytes(italian, TARGET_SIZE)


@pytest.fixture(scope="module")
def folders(models: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One vocabulary as most have it; one with marks, ReLU and a padding that is not zero; and two."""
    folder = tmp_path_factory.mktemp("opus-mt")
    joint = write_opus_mt(folder / "joint", *models)
    marked = write_opus_mt(folder / "marked", *models, marks=(">>ita<<", ">>vec<<"))
    config = json.loads((marked / "config.json").read_text(encoding="utf-8"))
    write_json(marked / "config.json", config | {"activation_function": "relu", "scale_embedding": False})
    apart = write_tokenizer(folder / "apart", *models, separate=True)
    config = configuration(TARGET_SIZE, vocab_size=SOURCE_SIZE, decoder_vocab_size=TARGET_SIZE)
    config |= {"share_encoder_decoder_embeddings": False, "activation_function": "gelu"}
    write_json(apart / "config.json", config)
    sizes = {"encoder": SOURCE_SIZE, "decoder": TARGET_SIZE}
    tables = {f"model.{part}.embed_tokens.weight": size for part, size in sizes.items()}
    save_file(random_tensors(tables, seed=3), apart / "model.safetensors")
    return {"joint": joint, "marked": marked, "apart": apart}


def marian_tokenizer(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends a normaliser that it never calls
        return library.MarianTokenizer.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def texts(pairs: list[tuple[str, str]], data_folder: Path) -> list[str]:
    """English and Italian, and what neither vocabulary has."""
    lines = [text for pair in pairs for text in pair]
    for name in ("varied-english.txt", "robustness.tsv"):
        lines += (data_folder / name).read_text(encoding="utf-8").splitlines()
    return lines


@pytest.mark.parametrize("name", ["joint", "apart"])
def test_ids_and_texts_are_those_of_transformers(
    folders: dict[str, Path], texts: list[str], name: str
) -> None:
    ours, theirs = import_opus_mt(folders[name]).tokenizer, marian_tokenizer(folders[name])
    plain = [text for text in texts if not any(mark in text for mark in SPECIAL)]
    assert len(plain) > 1000
    for text in plain:
        assert ours.encode_source(text, "it") == theirs(text).input_ids
        target = theirs(text_target=text).input_ids
        assert ours.encode_target(text) == target
        assert ours.detokenize(target) == theirs.decode(target, skip_special_tokens=True)


def test_what_transformers_takes_for_special_tokens_is_text_here(
    folders: dict[str, Path], texts: list[str]
) -> None:
    ours, theirs = import_opus_mt(folders["joint"]).tokenizer, marian_tokenizer(folders["joint"])
    special = [text for text in texts if any(mark in text for mark in SPECIAL)]
    injected = {ours.special_ids.end, ours.special_ids.padding}
    assert any(injected & set(theirs(text).input_ids[:-1]) for text in special)
    for text in special:
        assert not injected & set(ours.encode_source(text, "it")[:-1])


def test_a_mark_is_a_language_where_one_is_asked_for(folders: dict[str, Path]) -> None:
    ours, theirs = import_opus_mt(folders["marked"]).tokenizer, marian_tokenizer(folders["marked"])
    for language in ("ita", "vec"):
        assert ours.encode_source("The cat.", language) == theirs(f">>{language}<<The cat.").input_ids
    assert _marks(ours.encode_source(">>vec<< The cat.", "ita"), ours) == [">>ita<<"]


def _marks(ids: list[int], tokenizer: Tokenizer) -> list[str]:
    return [piece for piece in map(tokenizer.source_piece, ids) if piece.startswith(">>")]


@torch.inference_mode()
@pytest.mark.parametrize("name", ["joint", "marked", "apart"])
def test_log_probabilities_are_those_of_transformers(folders: dict[str, Path], name: str) -> None:
    ours = import_opus_mt(folders[name]).model
    theirs: Any = library.MarianMTModel.from_pretrained(str(folders[name])).eval()
    start, size = ours.special_ids.start, ours.config.vocabulary_size
    generator = torch.Generator().manual_seed(1)
    for length in (1, 2, 9, 28):  # Transformers' table of positions has 32
        ids = torch.randint(2, size - 1, (2 * length + 3,), generator=generator)
        source = torch.cat((ids[:length], torch.tensor([0])))[None]
        target = torch.cat((torch.tensor([start]), ids[length : 2 * length + 3]))[None]
        logits = theirs(input_ids=source, decoder_input_ids=target).logits
        expected = logits[..., :start].log_softmax(-1)  # the last is padding, which is never said
        found = ours(source, target).log_softmax(-1)
        assert bool((found[..., start] == -torch.inf).all())
        torch.testing.assert_close(found[..., :start], expected, rtol=0, atol=LIMIT)
        assert float(expected.max() - expected.min()) > 5  # it says something
