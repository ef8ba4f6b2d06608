"""Glossaries of a call: which segments are searched with attention for them, and what is told of terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.documents.glossary import Glossary, Term
from server.documents.markup.reading import Format
from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import Hypothesis
from server.translation.request import TranslationRequest
from server.translation.results import UsedTerm
from server.work.job import Job
from tests.unit.server.translation.fakes import FakeModel
from tests.unit.server.translation.test_markup import CHOICE, backwards, model_of, request, translate


def with_terms(model: FakeModel, *texts: str, form: Format = Format.PLAIN) -> TranslationRequest:
    terms = [Term(source="a", target="alpha"), Term(source="b c", target="beta"), Term(source="q")]
    return replace(request(model, *texts, form=form), glossaries=[Glossary(terms)])


def test_only_segments_with_terms_are_searched_with_attention_and_get_them() -> None:
    model = model_of()
    (item,) = translate(with_terms(model, "x a!\ny z!\nq b c a!"))
    assert item.best.text == "alpha x!\nz y!\nalpha beta q!"
    assert item.terms == [
        UsedTerm(source="a", target="alpha", is_met=True),
        UsedTerm(source="q", target="q", is_met=True),
        UsedTerm(source="b c", target="beta", is_met=True),
    ]
    assert item.warnings == []
    assert [job.options.attention for job in model.worker.jobs] == [CHOICE, None, CHOICE]
    assert all(segment.hypotheses[0].attention is None for segment in item.segments)
    targets = [item.best.text.encode()[slice(*segment.target)].decode() for segment in item.segments]
    assert targets == ["alpha x!", "z y!", "alpha beta q!"]


def test_tags_stay_at_their_words_where_a_term_has_more() -> None:
    page = "<p>x <b>b c</b> y <i>z</i>"
    (item,) = translate(with_terms(model_of(), page, form=Format.HTML))
    assert item.best.text == "<p><i>z</i> y <b>beta</b> x"


def test_without_attention_a_term_that_is_not_there_is_told() -> None:
    (item,) = translate(with_terms(model_of(has_attention=False), "q a"))
    assert item.best.text == "a q"
    assert item.terms == [
        UsedTerm(source="q", target="q", is_met=True),
        UsedTerm(source="a", target="alpha", is_met=False),
    ]
    assert item.warnings == [TextWarning(reason=WarningReason.GLOSSARY, segment=0, text="a")]


def test_a_hypothesis_that_has_the_terms_comes_first() -> None:
    def two(job: Job) -> Sequence[Hypothesis]:
        (first,) = backwards(job)
        return (replace(first, token_ids=(ord("x"), *first.token_ids[1:])), first)

    model = model_of(has_attention=False)
    model.worker.outcome = two
    (item,) = translate(with_terms(model, "d q"))
    assert item.best.text == "q d"
    assert [term.is_met for term in item.terms] == [True]
