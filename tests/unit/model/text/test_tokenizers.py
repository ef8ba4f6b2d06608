"""A folder's tokenizer is found by its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.text.special_ids import DEFAULT_SPECIAL_IDS
from model.text.tokenizer import Tokenizer, TokenizerError
from model.text.tokenizers import load_tokenizer


def test_a_folder_s_tokenizer_is_the_one_that_was_saved(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.serialized, loaded.size) == (tokenizer.serialized, tokenizer.size)
    assert loaded.special_ids == DEFAULT_SPECIAL_IDS


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=rf"{tmp_path} has no tokenizer\.model"):
        load_tokenizer(tmp_path)


def test_which_language_a_source_is_in_leaves_no_mark(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode_source("Ciao!", "en")
    assert tokenizer.encode_source("Ciao!", "en", source_language="it") == plain
