"""Nothing that goes in is lost, and text is never taken for a tag."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from model.text.sentencepiece_tokenizer import (
    END_ID,
    PADDING_ID,
    START_ID,
    SentencePieceTokenizer,
    train_tokenizer,
)
from model.text.tokenizer import Tokenizer, TokenizerError
from model.text.tokenizers import load_tokenizer

UNSEEN = {
    "🛶 a Venezia 🎭👩‍🚀": "🛶 a Venezia 🎭👩‍🚀",
    "日本語とελληνικά": "日本語とελληνικά",
    "naïve ﬁancé ½ 10²": "naïve fiancé ½ 10²",
    "\u202eright\u202c to left": "right to left",
    "w\u0302": "ŵ",
}
SPECIAL_LOOKS = ["<2it>", "<2en>", "<s>", "</s>", "<pad>", "<unk>", "<0x41>", "a", " "]


def test_every_sentence_survives_the_round_trip(tokenizer: Tokenizer, pairs: list[tuple[str, str]]) -> None:
    for text, normalised in ({text: text for pair in pairs for text in pair} | UNSEEN).items():
        assert tokenizer.detokenize(tokenizer.encode_target(text)) == normalised


def test_characters_outside_the_vocabulary_become_bytes(tokenizer: Tokenizer) -> None:
    *ids, end = tokenizer.encode_target("🛶")
    assert end == END_ID
    assert [tokenizer.piece(i) for i in ids[-4:]] == [f"<0x{byte:02X}>" for byte in "🛶".encode()]


def test_a_source_opens_with_its_tag_and_closes_with_the_end(tokenizer: Tokenizer) -> None:
    for language in ("en", "it"):
        ids = tokenizer.encode_source("Ciao!", language)
        assert tokenizer.piece(ids[0]) == f"<2{language}>"
        assert ids[1:] == tokenizer.encode_target("Ciao!")
    assert tokenizer.encode_source("Ciao!", "en") != tokenizer.encode_source("Ciao!", "it")


@given(parts=st.lists(st.sampled_from(SPECIAL_LOOKS), max_size=6))
def test_text_that_looks_like_a_special_piece_is_text(tokenizer: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    special = {PADDING_ID, START_ID, END_ID} | {tokenizer.encode_source("", x)[0] for x in ("en", "it")}
    *ids, _ = tokenizer.encode_target(text)
    assert not special & set(ids)
    assert tokenizer.detokenize(ids) == " ".join(text.split())


def test_special_pieces_leave_no_trace_in_text(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode_target("Il gatto dorme.")[:-1]
    tag = tokenizer.encode_source("", "it")[0]
    assert tokenizer.detokenize([START_ID, tag, *plain, END_ID, PADDING_ID]) == "Il gatto dorme."


def test_languages_are_those_of_its_training_in_their_order(pairs: list[tuple[str, str]]) -> None:
    text = [text for pair in pairs[:150] for text in pair]
    assert train_tokenizer(text, 500, ("vec", "it", "pt-BR")).languages == ("vec", "it", "pt-BR")


def test_an_unknown_language_is_named(tokenizer: Tokenizer) -> None:
    for language in ("de", "", "it>", "IT"):
        with pytest.raises(TokenizerError, match=f"no tag for the language '{language}'"):
            tokenizer.encode_source("Ciao!", language)


def test_a_damaged_model_is_refused(tokenizer: Tokenizer) -> None:
    for damaged in (b"", b"damaged", tokenizer.serialized[:2000]):
        with pytest.raises(TokenizerError, match="not a SentencePiece model"):
            SentencePieceTokenizer(damaged)


def test_a_model_with_other_special_ids_is_refused(pairs: list[tuple[str, str]]) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(text for pair in pairs for text in pair),
        model_writer=model,
        vocab_size=300,
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match=r"are \(-1, 0, 1, 2\), must be \(0, 1, 2, 3\)"):
        SentencePieceTokenizer(model.getvalue())


def test_it_is_saved_and_loaded_byte_for_byte(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path).serialized == tokenizer.serialized


def test_training_twice_gives_the_same_model(tokenizer: Tokenizer, pairs: list[tuple[str, str]]) -> None:
    again = train_tokenizer((text for pair in pairs for text in pair), tokenizer.size, ("en", "it"))
    assert again.serialized == tokenizer.serialized
