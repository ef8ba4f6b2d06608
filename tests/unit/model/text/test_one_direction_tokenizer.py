"""A SentencePiece file of somebody else's, taken as it is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from model.text.one_direction_tokenizer import LANGUAGES_NAME, OneDirectionTokenizer
from model.text.special_ids import SpecialIds
from model.text.tokenizer import Tokenizer, TokenizerError
from model.text.tokenizers import load_tokenizer

END, UNKNOWN = 0, 1


def trained(pairs: list[tuple[str, str]], **ids: int) -> bytes:
    model = io.BytesIO()
    special: dict[str, Any] = {"eos_id": END, "unk_id": UNKNOWN, "bos_id": -1, "pad_id": -1, **ids}
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(text for pair in pairs for text in pair),
        model_writer=model,
        vocab_size=300,
        minloglevel=2,
        **special,
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def file(pairs: list[tuple[str, str]]) -> bytes:
    """As Marian's vocabularies are: the end first, then unknown text, no padding and no start."""
    return trained(pairs)


@pytest.fixture(scope="module")
def marian(file: bytes) -> OneDirectionTokenizer:
    return OneDirectionTokenizer(file, "en", "it")


def test_its_special_ids_are_the_files_and_the_end_stands_in_for_others(
    marian: Tokenizer, pairs: list[tuple[str, str]]
) -> None:
    assert marian.special_ids == SpecialIds(padding=END, unknown=UNKNOWN, start=END, end=END)
    with_all = OneDirectionTokenizer(trained(pairs, bos_id=2, pad_id=3), "en", "it")
    assert with_all.special_ids == SpecialIds(padding=3, unknown=UNKNOWN, start=2, end=END)


def test_a_source_has_its_pieces_and_the_end_and_nothing_else(marian: Tokenizer) -> None:
    ids = marian.encode_source("Ciao!", "it", source_language="en")
    assert ids == marian.encode_target("Ciao!")
    assert ids[-1] == END
    assert marian.detokenize(ids) == "Ciao!"
    assert marian.encode_source("", "it") == [END]


@pytest.mark.parametrize("text", ["</s>", "<unk>", "a </s> b", "<s>", "<2it>", "<pad></s>"])
def test_text_that_looks_like_a_special_piece_is_text(marian: Tokenizer, text: str) -> None:
    *ids, end = marian.encode_source(text, "it")
    assert END not in ids
    assert end == END
    assert len(ids) > 1


def test_what_stands_for_unknown_text_is_not_shown(marian: Tokenizer) -> None:
    plain = marian.encode_target("Il gatto dorme.")
    assert UNKNOWN in marian.encode_target("日本語")
    assert marian.detokenize([UNKNOWN, *plain, UNKNOWN]) == "Il gatto dorme."


def test_it_translates_one_direction(marian: Tokenizer) -> None:
    assert marian.languages == ("en", "it")
    assert marian.directions == (("en", "it"),)
    for source, target in (("it", "en"), (None, "en"), ("de", "it")):
        with pytest.raises(TokenizerError, match="translates en-it, not "):
            marian.encode_source("Ciao!", target, source_language=source)


def test_a_tokenizer_with_tags_translates_every_direction(tokenizer: Tokenizer) -> None:
    assert tokenizer.directions == (("en", "it"), ("it", "en"))


def test_it_is_saved_and_loaded_with_its_languages(marian: Tokenizer, tmp_path: Path) -> None:
    marian.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, OneDirectionTokenizer)
    assert (loaded.serialized, loaded.directions) == (marian.serialized, marian.directions)


def test_other_languages_make_another_tokenizer(marian: Tokenizer, file: bytes) -> None:
    assert OneDirectionTokenizer(file, "en", "fr").serialized != marian.serialized


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"source": "en", "target": 3}', '{"source": "en"}'])
def test_damaged_languages_are_refused(marian: Tokenizer, tmp_path: Path, content: str) -> None:
    marian.save(tmp_path)
    (tmp_path / LANGUAGES_NAME).write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"languages\.json is damaged"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("languages", [("en", "en"), ("", "it"), ("en", "")])
def test_languages_that_are_no_two_are_refused(file: bytes, languages: tuple[str, str]) -> None:
    with pytest.raises(TokenizerError, match="must be two different codes"):
        OneDirectionTokenizer(file, *languages)


def test_a_file_without_an_end_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(TokenizerError, match=r"unknown piece and end are \(1, -1\)"):
        OneDirectionTokenizer(trained(pairs, eos_id=-1, bos_id=0), "en", "it")


@pytest.mark.parametrize("damaged", [b"", b"damaged"])
def test_a_damaged_file_is_refused(damaged: bytes) -> None:
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        OneDirectionTokenizer(damaged, "en", "it")


def test_languages_are_written_plainly(marian: Tokenizer, tmp_path: Path) -> None:
    marian.save(tmp_path)
    fields = json.loads((tmp_path / LANGUAGES_NAME).read_text(encoding="utf-8"))
    assert fields == {"source": "en", "target": "it"}
