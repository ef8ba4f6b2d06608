"""Texts with markup: each sentence is a job, and its tags are put where the attention tells."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np

from server.documents.document import Segmentation
from server.documents.markup.reading import Format
from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import AttentionChoice, Hypothesis, StopReason
from server.errors import SourceTooLong
from server.translation.marking import _MAX_WEIGHTS
from server.translation.request import TranslationRequest
from server.translation.results import Translation
from server.translation.translator import Translator
from server.work.job import Job
from tests.unit.server.translation.fakes import END, OPTIONS, TAG, FakeModel, FakeRecord, request_of

CHOICE = AttentionChoice(layer=1, heads=(0, 1))


class LetterTokenizer:
    """A token for each word of one letter or mark, and one that marks nothing else."""

    special_ids = SimpleNamespace(end=END)

    def encode_source(self, text: str, target_language: str, *, source_language: str) -> list[int]:
        assert (source_language, target_language) == ("en", "it"), "some models mark both"
        return [TAG, *(ord(word[0]) for word in text.replace("!", " !").split()), END]

    def first_target_token(self, target_language: str) -> int | None:
        return None

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return " ".join(map(chr, token_ids[:-1])).replace(" !", "!")

    def piece(self, token: int) -> str:
        return f"<{token}>" if token < ord(" ") else chr(token) if token == ord("!") else f"▁{chr(token)}"

    source_piece = piece


def backwards(job: Job) -> tuple[Hypothesis]:
    """The words in the other order, each predicted from itself."""
    words = [i for i in range(1, len(job.source) - 1) if job.source[i] != ord("!")]
    order = [*reversed(words), *(i for i in range(1, len(job.source)) if i not in words)]
    weights = np.zeros((len(order), len(job.source)), np.float32)
    weights[range(len(order)), order] = 1
    attention = weights if job.options.attention else None
    return (
        Hypothesis(
            token_ids=tuple(job.source[i] for i in order),
            log_prob=-2.0,
            score=-1.0,
            stop_reason=StopReason.END,
            attention=attention,
        ),
    )


def model_of(*, has_attention: bool = True) -> FakeModel:
    model = FakeModel(backwards)
    model.tokenizer, model.max_source_tokens = LetterTokenizer(), 20
    attention = SimpleNamespace(default_layer=1, num_heads=2) if has_attention else None
    model.manifest = SimpleNamespace(attention=attention)
    return model


def request(model: FakeModel, *texts: str, form: Format = Format.HTML) -> TranslationRequest:
    return replace(request_of(model, *texts, segmentation=Segmentation.SENTENCES), format=form)


def translate(request: TranslationRequest, record: FakeRecord | None = None) -> list[Translation]:
    items = asyncio.run(Translator().translate(request, record or FakeRecord())).items
    return [cast("Translation", item) for item in items]


def test_tags_go_with_the_words_that_the_attention_tells() -> None:
    model, record = model_of(), FakeRecord()
    page = '<p title="x y">a <b>c</b> d! <i title="u v">e</i> f!</p>'
    (item,) = translate(request(model, page), record)
    assert item.best.text == '<p title="y x">d <b>c</b> a! f <i title="v u">e</i>!</p>'
    assert [page[slice(*segment.source)] for segment in item.segments] == [
        *("x y", "a <b>c</b> d!", '<i title="u v">e</i> f!', "u v")
    ]
    assert [item.best.text[slice(*segment.target)] for segment in item.segments] == [
        *("y x", "d <b>c</b> a!", 'f <i title="v u">e</i>!', "v u")
    ]
    assert [job.options.attention for job in model.worker.jobs] == [None, CHOICE, CHOICE, None]
    assert all(segment.hypotheses[0].attention is None for segment in item.segments)
    assert item.warnings == []
    assert record.counted == [item]


def test_attention_that_was_asked_for_is_given() -> None:
    model = model_of()
    asked = replace(
        request(model, "a <b>c</b>"), options=replace(OPTIONS, attention=replace(CHOICE, heads=(0,)))
    )
    (item,) = translate(asked)
    assert item.best.text == "<b>c</b> a"
    assert item.best.attention is not None
    assert item.best.attention.heads == (0,)


def test_without_attention_tags_stand_in_proportion_and_that_is_told() -> None:
    (item, plain) = translate(request(model_of(has_attention=False), "a <b>c</b> d", "<p>a c"))
    assert item.best.text == "d <b>c</b> a"
    assert item.warnings == [TextWarning(reason=WarningReason.MARKUP, segment=0)]
    assert plain.warnings == []


def test_a_call_has_no_more_attention_than_the_server_holds() -> None:
    model = model_of()
    width = replace(OPTIONS, max_target_tokens=_MAX_WEIGHTS // 12)  # of 4 source tokens and 2 hypotheses
    first, second = translate(replace(request(model, "a <b>c</b>", "d <b>e</b>"), options=width))
    assert (first.warnings, [warning.reason for warning in second.warnings]) == ([], [WarningReason.MARKUP])


def test_code_that_a_model_loses_is_put_back_and_told() -> None:
    class Forgetful(LetterTokenizer):
        def encode_source(self, text: str, target_language: str, *, source_language: str) -> list[int]:
            plain = text.replace("{0}", "x")
            return super().encode_source(plain, target_language, source_language=source_language)

    model = model_of()
    model.tokenizer = Forgetful()
    (item,) = translate(request(model, "a `ls` b", form=Format.MARKDOWN))
    assert "`ls`" in item.best.text
    assert item.warnings == [TextWarning(reason=WarningReason.MARKUP, segment=0, text="`ls`")]


def test_nothing_to_translate_comes_out_as_it_went_in() -> None:
    texts = ("<!-- a --><p> </p>", "<code>a</code>", "")
    items = translate(request(model_of(), *texts))
    assert tuple(item.best.text for item in items) == texts


def test_a_paragraph_that_shall_not_be_cut_may_be_too_long() -> None:
    model = model_of()
    whole = replace(request(model, "<p>a</p><p>" + "b " * 30), segmentation=Segmentation.NONE)
    (error,) = asyncio.run(Translator().translate(whole, FakeRecord())).items
    assert isinstance(error, SourceTooLong)
