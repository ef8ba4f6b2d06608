"""The base model's targets end where their sources say, and its tokenizer keeps one token a word."""

from __future__ import annotations

import random
import statistics

import pytest

from model.networks.transformer import Transformer
from model.searches.beam_search import beam_search, greedy_search
from model.text.sentencepiece_tokenizer import END_ID
from model.text.tokenizer import Tokenizer
from tests.load.base_shortlist import base_shortlist
from tests.load.base_text import LANGUAGES, base_text, base_texts, base_tokenizer, target_length
from tests.load.base_weights import VOCABULARY_SIZE, base_model


@pytest.fixture(scope="module")
def model() -> Transformer:
    return base_model()


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return base_tokenizer()


def test_the_vocabulary_has_the_size_of_opus_mt(words: Tokenizer) -> None:
    assert words.size == VOCABULARY_SIZE
    assert words.languages == LANGUAGES


def test_each_word_is_one_token(words: Tokenizer) -> None:
    for text in base_texts(100, seed=1):
        ids = words.encode_source(text, "it")
        assert len(ids) == len(text.split(" ")) + 2
        assert words.detokenize(ids) == text


def test_lengths_are_as_mixed_as_real_ones() -> None:
    texts = base_texts(2000, seed=1)
    lengths = [len(text.split(" ")) + 2 for text in texts]
    assert (min(lengths), max(lengths)) == (5, 60)
    assert 18 < statistics.mean(lengths) < 22
    assert 18 < statistics.mean(target_length(text) for text in texts) < 22


@pytest.mark.parametrize(
    ("source_length", "length"),
    [(5, 3), (12, 12), (60, 5), pytest.param(30, 64, marks=pytest.mark.load)],
)
@pytest.mark.parametrize("beam_size", [1, 4])
def test_all_hypotheses_end_where_the_source_says(
    model: Transformer, words: Tokenizer, source_length: int, length: int, beam_size: int
) -> None:
    source = words.encode_source(base_text(source_length, length, random.Random(length)), "it")
    assert len(source) == source_length
    if beam_size == 1:
        found = [greedy_search(model, source, 70)]
    else:
        found = beam_search(model, source, beam_size, 70)
    assert [len(h.token_ids) for h in found] == [length] * beam_size
    assert all(h.token_ids[-1] == END_ID for h in found)


def test_targets_are_diverse_and_of_the_shortlists_words(model: Transformer, words: Tokenizer) -> None:
    shortlist = base_shortlist(words)
    sources = [words.encode_source(base_text(20, 20, random.Random(seed)), "it") for seed in range(4)]
    found = [greedy_search(model, source, 70) for source in sources]
    tokens = [token for h in found for token in h.token_ids[:-1]]
    assert len(set(tokens)) > 0.6 * len(tokens)
    for source, hypothesis in zip(sources, found, strict=True):
        assert set(hypothesis.token_ids) <= set(shortlist.candidates(source).tolist())
    assert -2 < statistics.mean(h.log_prob for h in found) / 20 < -0.3
