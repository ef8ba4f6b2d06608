"""Texts and options as requests: what is refused, and where many texts are cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traghetto import AttentionOptions, ContrastiveSearch, GlossaryTerm, InvalidText, Sampling
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import (
    CallCutter,
    RequestTemplate,
    calls_of,
    calls_of_async,
    checked_texts,
    score_requests,
)


@pytest.mark.parametrize("texts", ["Yes.", b"Yes."], ids=["str", "bytes"])
def test_one_text_that_is_not_in_a_list_is_refused_by_name(texts: str) -> None:
    with pytest.raises(TypeError, match=r"texts is a (str|bytes), must be several: write \[text\]"):
        checked_texts(texts)


def test_what_is_no_text_is_named_by_its_place() -> None:
    with pytest.raises(TypeError, match=r"texts\[1\] is a int, must be a str"):
        list(checked_texts(["Yes.", 7]))  # type: ignore[list-item]


def test_half_of_a_surrogate_pair_is_named_by_its_places() -> None:
    with pytest.raises(InvalidText, match=r"texts\[2\].*character 3 is the surrogate '\\udce9'") as caught:
        list(checked_texts(["Yes.", "🛶", "caf\udce9"]))
    assert (caught.value.index, caught.value.position, caught.value.character) == (2, 3, "\udce9")


def test_texts_are_checked_as_they_are_read() -> None:
    assert next(checked_texts(iter(["Yes.", "\ud800"]))) == "Yes."


@given(
    st.lists(st.text(max_size=12)),
    st.integers(min_value=1, max_value=5),
    st.integers(min_value=1, max_value=20),
)
def test_calls_hold_all_texts_in_order_within_both_limits(
    texts: list[str], max_texts: int, max_bytes: int
) -> None:
    calls = list(calls_of(texts, CallCutter(max_texts, max_bytes)))
    assert [text for call in calls for text in call] == texts
    assert all(1 <= len(call) <= max_texts for call in calls)
    assert all(sum(len(text.encode()) for text in call) <= max_bytes or len(call) == 1 for call in calls)
    # As few calls as can be: the first text of each would not have fitted into the one before it.
    for call, following in pairwise(calls):
        size = sum(len(text.encode()) for text in (*call, following[0]))
        assert len(call) == max_texts or size > max_bytes


def test_a_list_longer_than_a_call_takes_is_cut() -> None:
    assert [len(call) for call in calls_of(["Yes."] * 2050, CallCutter())] == [1024, 1024, 2]


def test_no_more_texts_are_read_than_the_call_at_hand_needs() -> None:
    texts = iter(["a", "b", "c", "d"])
    assert next(calls_of(texts, CallCutter(max_texts=2))) == ["a", "b"]
    assert list(texts) == ["c", "d"]


def test_texts_that_come_asynchronously_are_cut_and_checked_alike() -> None:
    async def texts() -> AsyncIterator[str]:
        for text in ("a", "b", "c", "\ud800"):
            yield text

    async def cut() -> list[str]:
        calls = calls_of_async(texts(), CallCutter(max_texts=2))
        first = await anext(calls)
        with pytest.raises(InvalidText, match=r"texts\[3\]"):
            await anext(calls)
        return first

    assert asyncio.run(cut()) == ["a", "b"]


@pytest.mark.parametrize("max_texts", [0, 1025])
def test_a_call_of_no_size_that_a_server_takes_is_refused(max_texts: int) -> None:
    with pytest.raises(ValueError, match=f"texts_per_call is {max_texts}, must be from 1 to 1024"):
        CallCutter(max_texts)


def made(**options: object) -> pb.TranslateRequest:
    template = RequestTemplate("en", "it", **options)  # type: ignore[arg-type]
    return template.with_texts(["Yes."])


def test_options_left_out_are_absent() -> None:
    request = made()
    assert (request.source_language, request.target_language, list(request.texts)) == ("en", "it", ["Yes."])
    assert request.options == pb.TranslateOptions()
    assert request.priority == pb.PRIORITY_UNSPECIFIED
    assert request == made(beam_size=None, method=None, attention=None)


@pytest.mark.parametrize("name", ["sentences", "lines", "none"])
def test_texts_are_cut_as_asked_for(name: str) -> None:
    assert made(segmentation=name).options.segmentation == pb.Segmentation.Value(
        f"SEGMENTATION_{name.upper()}"
    )


@pytest.mark.parametrize("name", ["plain", "html", "xml", "markdown"])
def test_a_format_has_the_number_of_its_name(name: str) -> None:
    assert made(format=name).format == pb.TextFormat.Value(f"TEXT_FORMAT_{name.upper()}")


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="format is 'pdf', must be 'plain', 'html', 'xml' or 'markdown'"):
        made(format="pdf")


def test_a_segmentation_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="segmentation is 'words', must be 'sentences', 'lines' or 'none'"):
        made(segmentation="words")


def test_every_option_has_its_field() -> None:
    request = made(
        model="m",
        length_penalty=0.5,
        max_target_tokens=9,
        num_hypotheses=1,
        method=Sampling(temperature=0.5, top_k=0, top_p=0.25, seed=0),
        attention=AttentionOptions(layer=0, heads=[3, 1]),
        skip_scores=True,
        target_prefix="Il",
        suppress=["a", "b"],
        no_repeat_ngram_size=0,
        repetition_penalty=1.5,
        min_target_tokens=2,
        priority="bulk",
    )
    assert list(request.target_prefixes) == ["Il"]
    assert request.model == "m"
    assert request.priority == pb.PRIORITY_BULK
    assert request.options == pb.TranslateOptions(
        length_penalty=0.5,
        max_target_tokens=9,
        num_hypotheses=1,
        sampling=pb.Sampling(temperature=0.5, top_k=0, top_p=0.25, seed=0),
        attention=pb.AttentionOptions(layer=0, heads=[3, 1]),
        skip_scores=True,
        suppress=["a", "b"],
        no_repeat_ngram_size=0,
        repetition_penalty=1.5,
        min_target_tokens=2,
    )
    contrastive = made(method=ContrastiveSearch(top_k=3, penalty_alpha=0.0)).options.contrastive_search
    assert contrastive == pb.ContrastiveSearch(top_k=3, penalty_alpha=0.0)
    assert made(beam_size=2).options.beam_size == 2


def test_an_unknown_priority_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="priority is 'urgent', must be 'interactive' or 'bulk'"):
        made(priority="urgent")


def test_a_method_without_fields_is_that_method() -> None:
    assert made(method=Sampling()).options.WhichOneof("method") == "sampling"
    assert made(method=ContrastiveSearch()).options.WhichOneof("method") == "contrastive_search"


def test_an_option_of_no_such_name_is_refused() -> None:
    with pytest.raises(TypeError, match="there is no option beam, size"):
        made(size=1, beam=4)


def test_a_method_that_is_none_is_refused() -> None:
    with pytest.raises(
        TypeError, match="method is 'sampling', must be a Sampling, a ContrastiveSearch or None"
    ):
        made(method="sampling")


def test_a_number_that_no_field_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="2147483648"):
        made(beam_size=2**31)


def test_options_are_values() -> None:
    assert AttentionOptions(heads=[1, 2]) == AttentionOptions(heads=(1, 2))
    assert len({Sampling(seed=1), Sampling(seed=1), AttentionOptions(heads=[1])}) == 2


def endless() -> Iterator[str]:
    while True:
        yield "Yes."


def test_endless_texts_are_read_lazily() -> None:
    assert len(next(calls_of(checked_texts(endless()), CallCutter()))) == 1024


def test_a_prefix_for_each_text_goes_with_its_text() -> None:
    template = RequestTemplate("en", "it", target_prefix=["Il", "", "La"])
    assert list(template.with_texts(["a", "b"]).target_prefixes) == ["Il", ""]
    assert list(template.with_texts(["c"], first=2).target_prefixes) == ["La"]
    template.check_prefixes(3)
    with pytest.raises(ValueError, match="target_prefix has 3, must be one for each of 2 texts"):
        template.check_prefixes(2)
    with pytest.raises(TypeError, match="must be one str for all texts of translate_many"):
        template.check_prefixes(None)


def test_one_prefix_is_that_of_all() -> None:
    template = RequestTemplate("en", "it", target_prefix="Il")
    template.check_prefixes(None)
    assert list(template.with_texts(["a", "b"], first=7).target_prefixes) == ["Il"]
    assert list(made(target_prefix="").target_prefixes) == []


def test_a_glossary_is_a_dict_or_terms() -> None:
    assert list(made(glossary={"cat": "micio", "Ai": ""}).glossary) == [
        pb.GlossaryTerm(source="cat", target="micio"),
        pb.GlossaryTerm(source="Ai"),
    ]
    assert list(made(glossary=[GlossaryTerm(source="US", match_case=True)]).glossary) == [
        pb.GlossaryTerm(source="US", match_case=True)
    ]
    assert list(made(glossary_names=["legal"]).glossary_names) == ["legal"]


def test_terms_in_one_str_are_refused() -> None:
    with pytest.raises(TypeError, match=r"glossary_names is a str, must be several: write \['legal'\]"):
        made(glossary_names="legal")
    with pytest.raises(TypeError, match=r"suppress is a str, must be several: write \['cat'\]"):
        made(suppress="cat")


def test_scores_are_asked_for_in_as_many_calls_as_they_need() -> None:
    texts = [f"a{i}" for i in range(1030)]
    translations = [f"b{i}" for i in range(1030)]
    calls = list(score_requests(texts, translations, "en", "it", model="m", priority="bulk"))
    assert [len(call.texts) for call in calls] == [1024, 6]
    assert [t for call in calls for t in call.texts] == texts
    assert [t for call in calls for t in call.translations] == translations
    assert (calls[1].source_language, calls[1].target_language) == ("en", "it")
    assert (calls[1].model, calls[1].priority) == ("m", pb.PRIORITY_BULK)
    assert list(score_requests([], [], "en", "it")) == []


def test_texts_without_a_translation_each_are_not_scored() -> None:
    with pytest.raises(ValueError, match="there are 1 translations, must be one for each of 2 texts"):
        next(score_requests(["a", "b"], ["c"], "en", "it"))
    with pytest.raises(TypeError, match="texts is a str, must be several"):
        next(score_requests(["a"], "c", "en", "it"))
