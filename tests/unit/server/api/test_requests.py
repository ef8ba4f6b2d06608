"""A request read whole: its model, its pair and its options, or every fault of it at once."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT
from model.text.special_ids import DEFAULT_SPECIAL_IDS
from server.api.constraints import constrained
from server.api.glossary import GlossaryReader
from server.api.requests import parse_request
from server.documents.document import Segmentation
from server.documents.glossary import Glossary, Term
from server.documents.markup.reading import Format
from server.engine.sequence import Beam
from server.errors import InvalidRequest, NotServed
from server.models.catalogue import Models
from server.models.served_model import ServedModel
from server.translation.request import TranslationRequest
from traghetto.pb.translation.v1 import translation_pb2 as pb


class LetterTokenizer:
    """A token for each letter; it can write no others."""

    special_ids = DEFAULT_SPECIAL_IDS
    size = 4 + len(string.ascii_letters)

    def first_target_token(self, language: str) -> int | None:
        return {"de": 7}.get(language)

    def piece(self, token: int) -> str:
        return (4 * "-" + string.ascii_letters)[token]

    def encode_target(self, text: str, *, target_language: str) -> list[int]:
        assert target_language == "pt-BR"
        letters = (string.ascii_letters.find(letter) for letter in text.strip())
        return [*(1 if i < 0 else 4 + i for i in letters), 3]


NAMED = {"legal": Glossary([Term(source="law", target="legge")]), "it": Glossary([Term(source="bit")])}


def parse(
    *texts: str,
    pair: str = "en pt-br",
    model: str = "",
    form: int = 0,
    prefixes: Sequence[str] = (),
    glossary: Sequence[pb.GlossaryTerm] = (),
    glossary_names: Sequence[str] = (),
    **options: Any,
) -> TranslationRequest:
    manifest = SimpleNamespace(
        language_pairs=[("en", "pt-BR")],
        attention=None,
        target_limit=DEFAULT_TARGET_LIMIT,
        length_penalty=DEFAULT_LENGTH_PENALTY,
    )
    tokenizer = LetterTokenizer()
    tiny = SimpleNamespace(name="tiny", manifest=manifest, max_target_tokens=64, tokenizer=tokenizer)
    source, target = pair.split(" ")
    message = pb.TranslateRequest(
        source_language=source,
        target_language=target,
        texts=texts,
        model=model,
        format=cast("pb.TextFormat.ValueType", form),
        target_prefixes=prefixes,
        glossary=glossary,
        glossary_names=glossary_names,
        options=pb.TranslateOptions(**options),
    )
    models = Models([cast("ServedModel", tiny)])
    glossaries, faults = asyncio.run(GlossaryReader().read(message, NAMED))
    parsed = parse_request(
        message,
        models,
        max_texts=2,
        max_beam_size=16,
        deadline=7.5,
        glossaries=glossaries,
        glossary_faults=faults,
    )
    return asyncio.run(constrained(parsed, message))


def test_a_request_has_its_model_and_the_pair_as_the_model_spells_it() -> None:
    parsed = parse("Yes.", "No.", beam_size=3)
    assert (parsed.model.name, parsed.pair) == ("tiny", ("en", "pt-BR"))
    assert list(parsed.texts) == ["Yes.", "No."]
    assert parsed.options.method == Beam(beam_size=3)
    assert parsed.deadline == 7.5


def test_every_fault_of_a_request_is_told_in_the_order_of_its_fields() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(pair="e p", beam_size=17, max_target_tokens=0)
    assert [(v.field, v.description) for v in caught.value.violations] == [
        ("source_language", "is 'e', must be a BCP-47 language code"),
        ("target_language", "is 'p', must be a BCP-47 language code"),
        ("texts", "has 0 texts, must have 1 to 2"),
        ("options.beam_size", "is 17, must be at least 1 and at most 16"),
        ("options.max_target_tokens", "is 0, must be at least 1"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pb.SEGMENTATION_UNSPECIFIED, Segmentation.SENTENCES),
        (pb.SEGMENTATION_SENTENCES, Segmentation.SENTENCES),
        (pb.SEGMENTATION_LINES, Segmentation.LINES),
        (pb.SEGMENTATION_NONE, Segmentation.NONE),
    ],
)
def test_texts_are_cut_as_the_option_says(value: int, expected: Segmentation) -> None:
    assert parse("Yes.", segmentation=value).segmentation is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pb.TEXT_FORMAT_UNSPECIFIED, Format.PLAIN),
        (pb.TEXT_FORMAT_PLAIN, Format.PLAIN),
        (pb.TEXT_FORMAT_HTML, Format.HTML),
        (pb.TEXT_FORMAT_XML, Format.XML),
        (pb.TEXT_FORMAT_MARKDOWN, Format.MARKDOWN),
    ],
)
def test_texts_are_read_as_what_they_are_written_in(value: int, expected: Format) -> None:
    assert parse("Yes.", form=value).format is expected


def test_a_format_of_a_newer_contract_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=r"format: is 9, .* TEXT_FORMAT_HTML, "):
        parse("Yes.", form=9)


def test_a_segmentation_of_a_newer_contract_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=r"options\.segmentation: is 9, .* SEGMENTATION_SENTENCES, "):
        parse("Yes.", segmentation=9)


def test_a_model_that_is_found_has_its_limits_told_too() -> None:
    with pytest.raises(
        InvalidRequest, match=r"^texts: has 3 texts, .*; options\.max_target_tokens: is 65, .* 64$"
    ):
        parse("a", "b", "c", max_target_tokens=65)


def test_what_is_not_served_is_told_where_nothing_else_is_wrong() -> None:
    with pytest.raises(NotServed, match="no model 'other'"):
        parse("Yes.", model="other")
    with pytest.raises(InvalidRequest, match=r"^options\.beam_size: is 0"):
        parse("Yes.", model="other", beam_size=0)


@pytest.mark.parametrize(
    ("prefixes", "expected"),
    [
        ((), []),
        (("ab",), [(4, 5), (4, 5)]),
        (("", " b "), [(), (5,)]),
    ],
)
def test_prefixes_are_those_of_all_texts_or_of_each(
    prefixes: Sequence[str], expected: list[tuple[int, ...]]
) -> None:
    assert parse("Yes.", "No.", prefixes=prefixes).prefixes == expected


@pytest.mark.parametrize(
    ("prefixes", "options", "message"),
    [
        (
            ("a", "b", "c"),
            {},
            "target_prefixes: has 3 prefixes, must have none, 1, or one for each of 2 texts",
        ),
        (
            ("", "a\u4e00"),
            {},
            r"target_prefixes\[1\]: has characters that the model cannot write",
        ),
        (
            ("abc",),
            {"max_target_tokens": 3},
            r"target_prefixes\[0\]: has 3 tokens, must have fewer than max_target_tokens, 3",
        ),
        (("a" * 4097,), {}, r"target_prefixes\[0\]: has 4097 characters, must have at most 4096"),
    ],
)
def test_a_prefix_that_no_translation_can_begin_with_is_refused(
    prefixes: Sequence[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse("Yes.", "No.", prefixes=prefixes, **options)


def test_terms_become_tokens_that_may_not_follow() -> None:
    forbidden = parse("Yes.", suppress=["ab"], min_target_tokens=5).options.constraints
    assert forbidden is not None
    assert forbidden.min_target_tokens == 5
    assert forbidden.forbidden is not None
    assert forbidden.forbidden.after([4]).tolist() == [5]
    assert forbidden.forbidden.after([5, 4]).tolist() == []


def test_a_call_has_its_own_terms_before_those_of_the_glossaries_that_it_names() -> None:
    parsed = parse("Yes.", glossary=[pb.GlossaryTerm(source="cat")], glossary_names=["it", "legal", "it"])
    own, *named = parsed.glossaries
    assert len(own) == 1
    assert named == [NAMED["it"], NAMED["legal"]]
    assert list(parse("Yes.").glossaries) == []


def test_faults_of_many_terms_fit_into_a_header() -> None:
    unseen = pb.GlossaryTerm(source="\U000e0001" * 128, target="\u2028" * 128)
    terms = [unseen, *[pb.GlossaryTerm(source="é" * 128)] * 9]
    with pytest.raises(InvalidRequest) as caught:
        parse("Yes.", glossary=terms, glossary_names=["\U000e0001" * 5000] * 8)
    assert len(caught.value.violations) == 8
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("glossary", "names", "fault"),
    [
        ([pb.GlossaryTerm()], [], "glossary[0].source: is empty"),
        (
            [pb.GlossaryTerm(source="a"), pb.GlossaryTerm(source="A")],
            [],
            "glossary[1].source: is 'A', must be another than that of glossary[0]",
        ),
        (
            [pb.GlossaryTerm(source="a", target="b" * 129)],
            [],
            "glossary[0].target: has 129 characters, must have at most 128",
        ),
        ([pb.GlossaryTerm(source="a")] * 1025, [], "glossary: has 1025 terms, must have at most 1024"),
        (
            [],
            ["legal", "x"],
            "glossary_names[1]: is 'x', must be one of the server's: 'it', 'legal'",
        ),
        ([], ["it"] * 9, "glossary_names: has 9 names, must have at most 8"),
    ],
)
def test_terms_and_names_out_of_their_limits_are_refused(
    glossary: list[pb.GlossaryTerm], names: list[str], fault: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse("Yes.", glossary=glossary, glossary_names=names)
    assert str(caught.value) == fault
