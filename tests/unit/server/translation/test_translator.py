"""What the translator makes of texts, whatever the model answers, and what it tells of it."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from server.engine.sequence import AttentionChoice, Sampling, StopReason
from server.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidRequest,
    RequestError,
    SourceTooLong,
    TextTooLong,
)
from server.translation.request import TranslationRequest
from server.translation.results import Translation, Translations
from server.translation.translator import Translator
from server.work.job import Job
from tests.unit.server.translation.fakes import (
    END,
    OPTIONS,
    TAG,
    FakeModel,
    FakeRecord,
    hypothesis,
    request_of,
)


def translate(request: TranslationRequest, record: FakeRecord | None = None) -> Translations:
    async def run() -> Translations:
        return await Translator().translate(request, record or FakeRecord())

    return asyncio.run(run())


def test_each_text_is_answered_in_its_place() -> None:
    model, record = FakeModel(lambda job: (hypothesis(*job.source[1:]),)), FakeRecord()
    found = translate(request_of(model, "a bb", "", "c " * 9, "d" * 1000, "\u200b", "ccc"), record)
    first, empty, many_tokens, many_characters, invisible, last = found.items
    assert isinstance(first, Translation)
    assert (first.best.text, first.num_source_tokens) == ("x xx xxx", 4)
    assert (first.best.num_target_tokens, first.best.stop_reason) == (3, StopReason.END)
    assert isinstance(empty, Translation)
    assert empty == invisible
    assert (empty.num_source_tokens, empty.best.text, empty.best.score, empty.best.stop_reason) == (
        0,
        "",
        0.0,
        None,
    )
    assert isinstance(many_tokens, SourceTooLong)
    assert (many_tokens.num_tokens, many_tokens.limit) == (11, 6)
    assert isinstance(many_characters, TextTooLong)
    assert (many_characters.num_characters, many_characters.limit) == (1000, 384)
    assert isinstance(last, Translation)
    assert last.best.text == "xxx xxx"
    assert [job.source for job in model.worker.jobs] == [(TAG, 1, 2, END), (TAG, 3, END)]
    assert record.stages == ["tokenize", "detokenize"]
    assert record.counted == [first, last]
    assert len(record.times) == 2
    assert found.model.name == "fake"


def test_as_many_hypotheses_come_back_as_are_asked_for() -> None:
    model = FakeModel(lambda _: (hypothesis(2, END), hypothesis(5, END), hypothesis(6, END)))
    options = dataclasses.replace(OPTIONS, num_hypotheses=2)
    (item,) = translate(request_of(model, "a", options=options)).items
    assert isinstance(item, Translation)
    assert [i.text.split()[0] for i in item.hypotheses] == ["xx", "xxxxx"]
    assert (item.best.score, item.best.log_prob) == (-1.0, -2.0)


def test_skipped_scores_are_none_with_every_text() -> None:
    model = FakeModel(lambda _: (hypothesis(2, END),))
    options = dataclasses.replace(OPTIONS, with_scores=False)
    for item in translate(request_of(model, "a", "", options=options)).items:
        assert isinstance(item, Translation)
        assert item.best.score is item.best.log_prob is None


def test_attention_comes_with_the_pieces_that_it_lies_between() -> None:
    model = FakeModel(lambda _: (hypothesis(2, END, is_attended=True),))
    options = dataclasses.replace(OPTIONS, attention=AttentionChoice(layer=1, heads=(0, 2)))
    (item,) = translate(request_of(model, "a", options=options)).items
    assert isinstance(item, Translation)
    attention = item.best.attention
    assert attention is not None
    assert (attention.source_tokens, attention.target_tokens) == (["<4>", "<1>", "<3>"], ["<2>", "<3>"])
    assert (attention.layer, attention.heads, attention.weights.shape) == (1, (0, 2), (2, 3))


def test_too_much_attention_is_refused_before_any_text_waits() -> None:
    model = FakeModel(lambda _: None)
    choice = AttentionChoice(layer=0, heads=(0,))
    options = dataclasses.replace(OPTIONS, attention=choice, max_target_tokens=200_000)
    with pytest.raises(InvalidRequest, match=r"options\.attention: may make 1200000 weights"):
        translate(request_of(model, "a", options=options))
    assert model.worker.jobs == []


def test_texts_that_are_sampled_without_a_seed_get_one_each() -> None:
    model = FakeModel(lambda _: (hypothesis(2, END),))
    method = Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=0)
    options = dataclasses.replace(OPTIONS, method=method, is_seeded=False)
    translate(request_of(model, *["a"] * 20, options=options))
    seeds = {job.request(0).method.seed for job in model.worker.jobs}
    assert len(seeds) == 20


def test_a_text_that_fails_is_an_item_and_the_others_go_on() -> None:
    error = InternalError("the model failed to translate this text")
    model = FakeModel(lambda job: error if job.source[1] == 1 else (hypothesis(2, END),))
    failed, good = translate(request_of(model, "a", "bb")).items
    assert failed is error
    assert isinstance(good, Translation)


@pytest.mark.parametrize("error", [Draining(), DeadlineExceeded()], ids=lambda error: type(error).__name__)
def test_what_ends_one_text_of_a_call_from_outside_ends_the_call(error: RequestError) -> None:
    def outcome(job: Job) -> Exception:
        return error if job.source[1] == 2 else InternalError("no")

    with pytest.raises(type(error)):
        translate(request_of(FakeModel(outcome), "a", "bb"))


def test_a_call_that_comes_too_late_never_waits() -> None:
    model = FakeModel(lambda _: None)
    with pytest.raises(DeadlineExceeded) as caught:
        translate(request_of(model, "a", deadline=time.monotonic()))
    assert not caught.value.was_queued
    assert model.worker.jobs == []


def test_a_call_that_is_cancelled_cancels_its_jobs() -> None:
    model, record = FakeModel(lambda job: None if job.source[1] == 2 else (hypothesis(2, END),)), FakeRecord()

    async def run() -> None:
        call = asyncio.create_task(Translator().translate(request_of(model, "a", "bb"), record))
        await record.followed.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(run())
    assert model.worker.cancelled == [0, 1]
    assert record.stages == ["tokenize"]
