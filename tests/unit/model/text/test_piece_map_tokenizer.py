"""Two SentencePiece files and a map of pieces to ids, as OPUS-MT has them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from model.text.piece_map import PieceMap, piece_map_of
from model.text.piece_map_tokenizer import PIECES_NAME, TARGET_NAME, PieceMapTokenizer
from model.text.special_ids import SpecialIds
from model.text.tokenizer import TokenizerError
from model.text.tokenizers import load_tokenizer
from tests.opus_mt_files import sentencepiece_bytes, vocabulary_of

MARKS = (">>ita<<", ">>pt_BR<<")


@pytest.fixture(scope="module")
def models(pairs: list[tuple[str, str]]) -> tuple[bytes, bytes]:
    return sentencepiece_bytes([a for a, _ in pairs]), sentencepiece_bytes([b for _, b in pairs], 280)


@pytest.fixture(scope="module")
def joint(models: tuple[bytes, bytes]) -> PieceMapTokenizer:
    """One vocabulary, and a mark for each of two target languages."""
    pieces = tuple(vocabulary_of(*models, marks=MARKS))
    marks = {"it": MARKS[0], "pt-BR": MARKS[1]}
    last = len(pieces) - 1
    fields: dict[str, Any] = {"source_languages": ("en",), "target_languages": marks, "source_pieces": pieces}
    return PieceMapTokenizer(PieceMap(**fields, padding=last, start=last), *models)


@pytest.fixture(scope="module")
def apart(models: tuple[bytes, bytes]) -> PieceMapTokenizer:
    """A vocabulary for each side, and no marks."""
    source, target = (tuple(vocabulary_of(model)) for model in models)
    pieces = PieceMap(
        source_languages=("en",),
        target_languages={"it": None},
        source_pieces=("<pad>", *source[:-1]),
        target_pieces=target,
        padding=0,
        start=len(target) - 1,
    )
    return PieceMapTokenizer(pieces, *models)


def test_the_map_says_which_id_a_piece_has(joint: PieceMapTokenizer) -> None:
    mark, *ids, end = joint.encode_source("The cat sleeps.", "it")
    assert joint.source_piece(mark) == ">>ita<<"
    assert "".join(map(joint.source_piece, ids)).replace("▁", " ") == " The cat sleeps."
    assert end == joint.special_ids.end == 0
    assert joint.special_ids == SpecialIds(padding=joint.size - 1, unknown=1, start=joint.size - 1, end=0)
    assert joint.encode_source("", "pt-BR", source_language="en") == [3, 0]


def test_each_side_has_its_own_file(joint: PieceMapTokenizer, apart: PieceMapTokenizer) -> None:
    text = "Il gatto dorme sul tavolo."
    for tokenizer in (joint, apart):
        assert tokenizer.detokenize(tokenizer.encode_target(text)) == text
    assert joint.encode_target(text) != joint.encode_source(text, "it")[1:]
    assert joint.has_one_vocabulary
    assert not apart.has_one_vocabulary


def test_two_vocabularies_end_with_the_end_of_each(apart: PieceMapTokenizer) -> None:
    *_, end = apart.encode_source("The cat.", "it")
    assert (end, apart.special_ids.end) == (1, 0)
    assert apart.source_piece(end) == apart.piece(0) == "</s>"
    assert apart.source_size != apart.size


def test_it_knows_its_directions(joint: PieceMapTokenizer) -> None:
    assert joint.languages == ("en", "it", "pt-BR")
    assert joint.directions == (("en", "it"), ("en", "pt-BR"))
    for source, target in (("it", "en"), (None, "en"), ("de", "it")):
        with pytest.raises(TokenizerError, match="translates en-it, en-pt-BR, not "):
            joint.encode_source("Ciao!", target, source_language=source)


@pytest.mark.parametrize(
    "text", ["</s>", "a </s> b", "<unk>", "<pad>", ">>ita<<", ">>pt_BR<< Hello", "say >>ita<<", "<s>"]
)
def test_text_that_looks_like_a_special_piece_is_text(joint: PieceMapTokenizer, text: str) -> None:
    _, *ids, _ = joint.encode_source(text, "it")
    special = {*dataclasses.asdict(joint.special_ids).values(), 2, 3} - {joint.special_ids.unknown}
    assert ids
    assert not special & set(ids)
    assert not special & set(joint.encode_target(text)[:-1])


def test_special_pieces_are_text_even_where_every_letter_of_them_is_unknown() -> None:
    """SentencePiece gives a run of unknown letters as one piece, and it is what a user wrote."""
    model = sentencepiece_bytes(["日本語の文です。", "これは本です。"] * 5, 15, character_coverage=1.0)
    pieces = tuple(vocabulary_of(model, marks=MARKS))
    last = len(pieces) - 1
    marks = {"it": MARKS[0]}
    tokenizer = PieceMapTokenizer(
        PieceMap(
            source_languages=("ja",), target_languages=marks, source_pieces=pieces, padding=last, start=last
        ),
        model,
        model,
    )
    for text in ("</s>", "<pad>", ">>ita<<", ">>pt_BR<<", "<unk>"):
        _, *ids, _ = tokenizer.encode_source(text, "it")
        assert [i for i in ids if tokenizer.source_piece(i) != "▁"] == [tokenizer.special_ids.unknown]


def test_special_pieces_leave_no_trace(joint: PieceMapTokenizer) -> None:
    ids = joint.encode_target("Il gatto.")
    special = joint.special_ids
    assert joint.detokenize([special.start, 2, special.unknown, *ids, special.padding]) == "Il gatto."
    assert joint.detokenize([]) == ""


def test_it_is_saved_and_loaded(joint: PieceMapTokenizer, apart: PieceMapTokenizer, tmp_path: Path) -> None:
    for name, tokenizer in (("joint", joint), ("apart", apart)):
        (tmp_path / name).mkdir()
        tokenizer.save(tmp_path / name)
        loaded = load_tokenizer(tmp_path / name)
        assert isinstance(loaded, PieceMapTokenizer)
        assert (loaded.serialized, loaded.directions) == (tokenizer.serialized, tokenizer.directions)
        assert (loaded.size, loaded.source_size) == (tokenizer.size, tokenizer.source_size)
    assert joint.serialized != apart.serialized


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source_pieces": ["</s>"]}, "'<unk>' is no piece of the source"),
        ({"source_pieces": ["</s>", "<unk>", "a", "a"]}, "twice in the source: 'a'"),
        ({"target_pieces": ["a"]}, "'</s>' is no piece of the target"),
        ({"padding": -1}, "the padding -1 is no id, must be 0 to "),
        ({"start": 9999}, "the start 9999 is no id"),
        ({"target_languages": {"it": ">>x<<"}}, "'>>x<<', which asks for it, is no piece of the source"),
        ({"target_languages": {"en": None}}, "must be two different codes"),
        ({"target_languages": {"": None}}, "must be two different codes"),
        ({"target_languages": ["it"]}, "damaged"),
        ({"source_languages": "en"}, "damaged"),
        ({"start": "0"}, "damaged"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(
    joint: PieceMapTokenizer, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    joint.save(tmp_path)
    path = tmp_path / PIECES_NAME
    content = json.loads(path.read_text(encoding="utf-8")) | fields
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TokenizerError, match=rf"pieces\.json: .*{message}"):
        load_tokenizer(tmp_path)


def test_files_that_are_missing_or_damaged_are_named(joint: PieceMapTokenizer, tmp_path: Path) -> None:
    joint.save(tmp_path)
    whole = (tmp_path / PIECES_NAME).read_bytes()
    for content in (b"", b"[]", b"\xff", whole[:-9], b"[" * 100_000):
        (tmp_path / PIECES_NAME).write_bytes(content)
        with pytest.raises(TokenizerError, match=r"pieces\.json: "):
            load_tokenizer(tmp_path)
    (tmp_path / PIECES_NAME).write_bytes(whole)
    (tmp_path / TARGET_NAME).write_bytes(b"damaged")
    with pytest.raises(TokenizerError, match="the target's is not a SentencePiece model"):
        load_tokenizer(tmp_path)
    (tmp_path / TARGET_NAME).unlink()
    with pytest.raises(TokenizerError, match=r"has no target_tokenizer\.model"):
        load_tokenizer(tmp_path)


def test_the_map_is_written_as_it_is_read(joint: PieceMapTokenizer, tmp_path: Path) -> None:
    joint.save(tmp_path)
    content = (tmp_path / PIECES_NAME).read_text(encoding="utf-8")
    assert piece_map_of(content).to_json() == content


MULTILINGUAL: dict[str, Any] = {
    "source_languages": ("en", "it"),
    "target_languages": {"en": None, "it": None},
    "source_pieces": ("</s>", "<unk>", "[en]", "[it]", "a"),
    "padding": 0,
    "start": 0,
    "source_marks": {"en": "[en]", "it": "[it]"},
    "first_target_pieces": {"en": "[en]", "it": "[it]"},
    "control_pieces": ("[it]",),
}


def test_marks_of_sources_and_targets_are_written_where_there_are_any(joint: PieceMapTokenizer) -> None:
    pieces = PieceMap(**MULTILINGUAL, source_marks_follow=True)
    assert piece_map_of(pieces.to_json()) == pieces
    with_none = {**MULTILINGUAL, "source_marks": {}, "first_target_pieces": {}, "control_pieces": ()}
    plain = json.loads(PieceMap(**with_none).to_json())
    assert plain.keys() & {"source_marks_follow", *MULTILINGUAL} == with_none.keys() - {
        "source_marks",
        "first_target_pieces",
        "control_pieces",
    }
    assert joint.first_target_token("it") is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source_marks": {"en": "[en]"}}, "no piece marks the source language it"),
        (
            {"first_target_pieces": {"en": "[en]", "it": "b"}},
            "'b', which marks the target language it, is",
        ),
        ({"source_marks": {"en": None}}, "a language without a mark"),
        ({"source_marks": ["en"]}, "no mapping of languages to marks"),
        ({"source_marks_follow": 1}, "1 is neither true nor false"),
        ({"control_pieces": [3]}, "no list of texts"),
    ],
)
def test_marks_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    content = json.loads(PieceMap(**MULTILINGUAL).to_json()) | fields
    with pytest.raises(TokenizerError, match=message):
        piece_map_of(json.dumps(content))
