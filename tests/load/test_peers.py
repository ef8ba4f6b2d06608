"""The peers compute what our PyTorch does: the same token ids from the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from model.checkpoint import load_checkpoint
from model.networks.transformer import Transformer
from model.searches.beam_search import greedy_search_batch
from model.text.sentencepiece_tokenizer import PADDING_ID
from model.text.tokenizer import Tokenizer
from tests.load.base_model import base_checkpoint
from tests.load.base_text import base_texts, target_length
from tests.load.ctranslate2_peer import CTranslate2Peer, ctranslate2_model, write_vocabulary_map
from tests.load.transformers_peer import TransformersPeer

_ROOT = Path(__file__).parents[2]
_BASE = _ROOT / "build/bench/base"


@pytest.fixture(scope="module")
def bundled() -> tuple[Transformer, Tokenizer]:
    return _load(_ROOT / "model/pretrained/en-it")


@pytest.fixture(scope="module")
def base() -> tuple[Transformer, Tokenizer]:
    return _load(base_checkpoint(_BASE))


def _load(folder: Path) -> tuple[Transformer, Tokenizer]:
    model, tokenizer = load_checkpoint(folder)
    assert isinstance(model, Transformer)
    return model, tokenizer


@pytest.fixture(scope="module")
def sources(bundled: tuple[Transformer, Tokenizer], pairs: list[tuple[str, str]]) -> list[list[int]]:
    return [bundled[1].encode_source(english, "it") for english, _ in pairs[:100]]


@pytest.fixture(scope="module")
def expected(bundled: tuple[Transformer, Tokenizer], sources: list[list[int]]) -> list[list[int]]:
    return _greedy(bundled[0], sources, 64)


def _greedy(model: Transformer, sources: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
    source = pad_sequence([torch.tensor(s) for s in sources], batch_first=True, padding_value=PADDING_ID)
    return greedy_search_batch(model, source, source == PADDING_ID, limit)


def test_ctranslate2_finds_the_same_tokens(
    bundled: tuple[Transformer, Tokenizer],
    sources: list[list[int]],
    expected: list[list[int]],
    tmp_path: Path,
) -> None:
    folder = ctranslate2_model(*bundled, tmp_path, "float32")
    peer = CTranslate2Peer(folder, inter_threads=1, intra_threads=1)
    assert peer.translate(sources, 1, 64) == expected
    assert peer.translate_one(sources[0], 1, 64) == expected[0]


def test_ctranslate2_keeps_to_its_vocabulary_map(
    bundled: tuple[Transformer, Tokenizer], sources: list[list[int]], tmp_path: Path
) -> None:
    model, tokenizer = bundled
    folder = ctranslate2_model(model, tokenizer, tmp_path)
    allowed = [tokenizer.piece(i) for i in range(300, 340)]
    write_vocabulary_map(folder, {"": allowed[:20]} | {tokenizer.piece(i): allowed[20:] for i in sources[0]})
    peer = CTranslate2Peer(folder, inter_threads=1, intra_threads=1)
    found = peer.translate(sources[:20], 4, 20)
    assert {token for target in found for token in target} <= {1, 2, *range(300, 340)}


@pytest.mark.load
@pytest.mark.parametrize("quantization", ["float32", "int8"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_ctranslate2_ends_base_targets_where_they_should(
    base: tuple[Transformer, Tokenizer], quantization: str, beam_size: int, tmp_path: Path
) -> None:
    model, tokenizer = base
    peer = CTranslate2Peer(
        ctranslate2_model(model, tokenizer, tmp_path, quantization), inter_threads=1, intra_threads=1
    )
    texts = base_texts(100, seed=7)
    found = peer.translate([tokenizer.encode_source(text, "it") for text in texts], beam_size, 80)
    assert [len(ids) + 1 for ids in found] == [target_length(text) for text in texts]


def test_transformers_finds_the_same_tokens(
    bundled: tuple[Transformer, Tokenizer], sources: list[list[int]], expected: list[list[int]]
) -> None:
    peer = TransformersPeer(bundled[0], num_threads=1)
    assert peer.translate(sources, 1, 64) == expected
    assert peer.translate_one(sources[0], 1, 64) == expected[0]


@pytest.mark.load
@pytest.mark.parametrize("beam_size", [1, 4])
def test_transformers_ends_base_targets_where_they_should(
    base: tuple[Transformer, Tokenizer], beam_size: int
) -> None:
    texts = base_texts(8, seed=7)
    sources = [base[1].encode_source(text, "it") for text in texts]
    found = TransformersPeer(base[0], num_threads=1).translate(sources, beam_size, 80)
    assert [len(ids) + 1 for ids in found] == [target_length(text) for text in texts]
