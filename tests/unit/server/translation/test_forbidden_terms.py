"""Terms that no translation may have, over the bundled vocabulary and over one that spells in many ways."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from server.translation.forbidden_terms import ForbiddenTerms, TargetPieces

ARTIFACT = Path(__file__).parents[4] / "export/artifacts/en-it"
PIECES: list[str] = ["", "", "", "", *"▁abc'", "▁a", "ab", "▁ab", "bc", "▁abc", "ca", "'ab", "abcab", "▁b"]


class Spelling:
    """Every way to cut a text into pieces is as good."""

    size = len(PIECES)
    special_ids = SimpleNamespace(padding=0, unknown=1, start=2, end=3)

    def piece(self, token: int) -> str:
        return PIECES[token]

    def first_target_token(self, language: str) -> None:
        return None

    def encode_target(self, text: str, *, target_language: str) -> list[int]:
        return [PIECES.index(character) for character in "▁" + text.replace(" ", "▁")] + [3]


SPELLING = cast("Tokenizer", Spelling())
SPELLED = TargetPieces(SPELLING)
tokens = st.lists(st.integers(4, len(PIECES) - 1), max_size=6)
terms = st.lists(st.sampled_from(["a", "ab", "abc", "b a", "ab'c", "cc"]), min_size=1, max_size=3)


def has_term(text: str, found: list[str], language: str) -> bool:
    """Whether a term stands in a text as a word or words of its own; anywhere in Chinese."""
    if language == "zh":
        return any(term.replace(" ", "▁") in text for term in found)
    return any(re.search(rf"(?<![abc]){term.replace(' ', '▁')}(?![abc])", text) for term in found)


@pytest.mark.parametrize("language", ["it", "zh"])
@given(prefix=tokens, found=terms)
def test_a_token_is_forbidden_if_and_only_if_a_term_would_stand_there(
    language: str, prefix: list[int], found: list[str]
) -> None:
    forbidden = ForbiddenTerms(found, SPELLED, SPELLING, language)
    before = "".join(PIECES[token] for token in prefix)
    banned = set(forbidden.after(prefix).tolist())
    for token in range(4, len(PIECES)):
        if not has_term(before, found, language):  # one that is there already is a forced one
            completes = has_term(before + PIECES[token], found, language)
            assert (token in banned) == completes, (before, PIECES[token])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(ARTIFACT)


@pytest.fixture(scope="module")
def pieces(tokenizer: Tokenizer) -> TargetPieces:
    return TargetPieces(tokenizer)


def test_a_term_cannot_be_spelled_in_pieces_of_the_bundled_vocabulary(
    tokenizer: Tokenizer, pieces: TargetPieces
) -> None:
    forbidden = ForbiddenTerms(["gatto"], pieces, tokenizer, "it")
    for text in ("Il gatto", "gatto", "l'gatto", "(gatto"):
        *ids, last, _ = tokenizer.encode_target(text)
        assert last in forbidden.after(ids)
    letters = [pieces.texts.index(piece) for piece in ("▁", "g", "a", "t", "t")]
    assert pieces.texts.index("o") in forbidden.after(letters)
    assert pieces.texts.index("a") not in forbidden.after(letters)


def test_no_word_is_forbidden_that_only_has_a_term_in_it(tokenizer: Tokenizer, pieces: TargetPieces) -> None:
    forbidden = ForbiddenTerms(["sta", "gatto nero"], pieces, tokenizer, "it")
    assert not {i for i in forbidden.after([]).tolist() if "stazione" in pieces.texts[i]}
    black = tokenizer.encode_target("gatto nero")[:-1]
    assert black[-1] in forbidden.after(black[:-1])
    assert black[-1] not in forbidden.after(tokenizer.encode_target("cane")[:-1])
