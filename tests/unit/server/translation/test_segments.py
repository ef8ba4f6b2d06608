"""Texts of several segments: each is a job, their translations become one text, and what is wrong is told."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest

from server.documents.document import Segmentation
from server.documents.warnings import TextWarning, WarningReason
from server.engine.constraints import Constraints
from server.engine.sequence import AttentionChoice, Hypothesis, StopReason
from server.errors import DeadlineExceeded, InternalError, InvalidRequest, QueueFull
from server.translation.request import TranslationRequest
from server.translation.results import Translation
from server.translation.translator import Translator
from server.work.job import Job
from tests.unit.server.translation.fakes import END, OPTIONS, FakeModel, FakeRecord, hypothesis, request_of

SENTENCES = Segmentation.SENTENCES


def copy(job: Job) -> tuple[Hypothesis]:
    """As many letters for each word, and no tag."""
    return (hypothesis(*job.source[1:-1]),)


def translate(request: TranslationRequest, record: FakeRecord | None = None) -> list[Translation]:
    async def run() -> list[Translation]:
        items = (await Translator().translate(request, record or FakeRecord())).items
        assert all(isinstance(item, Translation) for item in items), items
        return [item for item in items if isinstance(item, Translation)]

    return asyncio.run(run())


def test_every_sentence_is_a_job_and_what_is_between_them_stays() -> None:
    model, record = FakeModel(copy), FakeRecord()
    text = " Aé bb.\r\n\n  Cc d. E f g?\t"
    first, second = translate(request_of(model, text, "h", segmentation=SENTENCES), record)
    assert first.best.text == " xx xxx.\r\n\n  xx xx x x xx?\t"
    assert [segment.source for segment in first.segments] == [(1, 8), (13, 18), (19, 25)]
    assert [segment.target for segment in first.segments] == [(1, 8), (13, 18), (19, 26)]
    assert [segment.num_source_tokens for segment in first.segments] == [4, 4, 5]
    assert second.best.text == "x"
    assert [len(job.source) for job in model.worker.jobs] == [4, 4, 5, 3]
    assert record.counted == [first, second]
    assert len(record.times) == 4


def test_the_whole_has_the_sums_of_its_segments() -> None:
    model = FakeModel(lambda job: (hypothesis(*job.source[1:]), hypothesis(9, END)))
    options = dataclasses.replace(OPTIONS, num_hypotheses=2)
    (item,) = translate(request_of(model, "Aa b! Ccc d!", options=options, segmentation=SENTENCES))
    assert len(item.hypotheses) == 1
    assert item.num_source_tokens == 8
    best = item.best
    assert (best.num_target_tokens, best.log_prob, best.stop_reason) == (6, -4.0, StopReason.END)
    assert best.score == pytest.approx(-4.0 / (11 / 6))
    assert [len(segment.hypotheses) for segment in item.segments] == [2, 2]


def test_the_whole_is_scored_as_its_model_scores() -> None:
    model = FakeModel(lambda job: (hypothesis(*job.source[1:]),))
    options = dataclasses.replace(OPTIONS, penalty_kind="power")
    (item,) = translate(request_of(model, "Aa b! Ccc d!", options=options, segmentation=SENTENCES))
    assert item.best.score == pytest.approx(-4.0 / 6)


def test_more_sentences_than_a_call_may_have_are_refused_before_the_work() -> None:
    model = FakeModel(copy)
    with pytest.raises(InvalidRequest, match="more than 16384 sentences and lines, the limit of a call"):
        translate(request_of(model, "a\n" * 16_385, segmentation=SENTENCES))
    assert model.worker.jobs == []


def test_cutting_ends_with_the_deadline() -> None:
    request = request_of(FakeModel(copy), "a b. " * 1000, segmentation=SENTENCES)
    with pytest.raises(DeadlineExceeded):
        translate(dataclasses.replace(request, deadline=time.monotonic()))


def test_one_segment_that_is_cut_short_makes_the_whole_so() -> None:
    def outcome(job: Job) -> tuple[Hypothesis]:
        reason = StopReason.LENGTH if job.source[1] == 2 else StopReason.END
        return (hypothesis(2, stop_reason=reason),)

    (item,) = translate(request_of(FakeModel(outcome), "Aa b! Ccc d!", segmentation=SENTENCES))
    assert item.best.stop_reason is StopReason.LENGTH


def test_one_segment_that_fails_makes_the_text_an_error() -> None:
    error = InternalError("no")
    model = FakeModel(lambda job: error if job.source[1] == 3 else (hypothesis(2, END),))
    request = request_of(model, "Aa b! Ccc d!", "Aa b!", segmentation=SENTENCES)
    failed, good = asyncio.run(Translator().translate(request, FakeRecord())).items
    assert failed is error
    assert isinstance(good, Translation)


def test_what_is_too_long_is_cut_and_told() -> None:
    model = FakeModel(copy)
    (item,) = translate(request_of(model, "a bb c, dd e fff gg h", segmentation=SENTENCES))
    assert item.best.text == "x xx xx, xx x xxx xx x"
    assert [len(job.source) for job in model.worker.jobs] == [5, 4, 5]
    assert item.warnings == [TextWarning(reason=WarningReason.SENTENCE_SPLIT, segment=0)]


def test_a_text_without_anything_for_a_model_is_copied_or_empty() -> None:
    model = FakeModel(copy)
    texts = (" {name}\n", "\u200d", "\ufe0f \x92", "x" * 1000)
    copied, joiner, controls, word = translate(request_of(model, *texts, segmentation=SENTENCES))
    assert (copied.best.text, copied.best.stop_reason, copied.segments) == (" {name}\n", None, ())
    assert joiner.best.text == controls.best.text == ""
    assert word.best.text == "x" * 1000
    assert [warning.reason for warning in word.warnings] == [WarningReason.UNTRANSLATED]
    assert model.worker.jobs == []


def test_attention_is_with_each_segment_and_not_with_the_whole() -> None:
    model = FakeModel(lambda _: (hypothesis(2, END, is_attended=True),))
    options = dataclasses.replace(OPTIONS, attention=AttentionChoice(layer=0, heads=(0,)))
    (item,) = translate(request_of(model, "A! B!", options=options, segmentation=SENTENCES))
    assert item.best.attention is None
    assert all(segment.hypotheses[0].attention is not None for segment in item.segments)


def test_of_the_hypotheses_the_one_that_keeps_a_placeholder_is_the_best() -> None:
    class Tokenizer:
        texts = ("Ciao {nome}.", "Ciao {name}.", "Salve {name}.")

        def encode_source(self, text: str, target_language: str, *, source_language: str) -> list[int]:
            return [4, *([5] if text else []), 3]

        def first_target_token(self, target_language: str) -> None:
            return None

        def detokenize(self, token_ids: tuple[int, ...]) -> str:
            return self.texts[token_ids[0]]

    model = FakeModel(lambda _: tuple(hypothesis(i, END) for i in range(3)))
    model.tokenizer = Tokenizer()
    (item,) = translate(request_of(model, "Hi {name}."))
    assert [h.text for h in item.hypotheses] == ["Ciao {name}."]
    assert item.warnings == []
    two = dataclasses.replace(OPTIONS, num_hypotheses=2)
    (item,) = translate(request_of(model, "Hi {name}.", options=two))
    assert [h.text for h in item.hypotheses] == ["Ciao {name}.", "Salve {name}."]
    (item,) = translate(request_of(model, "Hi {user}."))
    assert item.best.text == "Ciao {nome}."
    assert item.warnings == [
        TextWarning(reason=WarningReason.PLACEHOLDER, segment=0, text=text) for text in ("{user}", "{nome}")
    ]


def test_a_book_takes_a_part_of_the_queue_at_a_time() -> None:
    model, record = FakeModel(copy), FakeRecord()  # its queue takes 8
    (item,) = translate(request_of(model, "Aa! B! Cc! D! Ee!", segmentation=SENTENCES), record)
    assert len(item.segments) == 5
    assert model.worker.calls == [(2, 3, False), (2, 3, True), (1, 4, True)]
    assert len(record.times) == 5


def test_a_call_of_many_texts_is_queued_whole() -> None:
    model = FakeModel(copy)
    translate(request_of(model, *["Aa."] * 6, segmentation=SENTENCES))
    assert model.worker.calls == [(6, 0, False)]


REPETITION = WarningReason.REPETITION


def loop_once(job: Job) -> tuple[Hypothesis]:
    """A loop of every source that begins with "Aa", unless n-grams may not come twice."""
    if job.source[1] == 2 and job.options.constraints is None:
        return (hypothesis(2, 2, 2),)
    return copy(job)


def test_what_goes_round_in_circles_is_searched_once_more_without() -> None:
    model, record = FakeModel(loop_once), FakeRecord()
    request = request_of(model, "Aa b! Ccc d!", "e", segmentation=SENTENCES)
    looped, other = translate(request, record)
    assert looped.best.text == "xx xx! xxx xx!"
    assert looped.warnings == []
    sources = [job.source[1] for job in model.worker.jobs]
    assert sources == [2, 3, 1, 2]
    constraints = [job.options.constraints for job in model.worker.jobs]
    assert constraints == [None, None, None, Constraints(no_repeat_ngram_size=3)]
    assert record.counted == [looped, other]
    assert record.stages == ["tokenize", "detokenize"]
    assert len(record.times) == 4


@pytest.mark.parametrize("second", [InternalError("no"), (hypothesis(2, 2, 2, 2),)])
def test_where_the_second_search_is_no_better_the_first_stays_and_is_warned_of(
    second: tuple[Hypothesis] | InternalError,
) -> None:
    model = FakeModel(lambda job: second if job.options.constraints else (hypothesis(2, 2, 2),))
    (item,) = translate(request_of(model, "Aa b!", segmentation=SENTENCES))
    assert item.best.text == "xx xx xx!"
    assert [warning.reason for warning in item.warnings] == [REPETITION]
    assert len(model.worker.jobs) == 2


def test_without_room_or_time_for_a_second_search_the_first_stays() -> None:
    model = FakeModel(loop_once)
    submit = model.worker.submit

    def full(*jobs: Any, **options: Any) -> Any:
        if model.worker.jobs:
            raise QueueFull(1, 8, 8)
        return submit(*jobs, **options)

    model.worker.submit = full
    (item,) = translate(request_of(model, "Aa b!", segmentation=SENTENCES))
    assert [warning.reason for warning in item.warnings] == [REPETITION]


def test_who_asks_for_the_models_own_gets_no_second_search() -> None:
    model = FakeModel(loop_once)
    (item,) = translate(request_of(model, "Aa b!", segmentation=Segmentation.NONE))
    assert [warning.reason for warning in item.warnings] == [REPETITION]
    own = dataclasses.replace(OPTIONS, constraints=Constraints(no_repeat_ngram_size=2))
    model = FakeModel(lambda _: (hypothesis(2, 2, 2),))
    translate(request_of(model, "Aa b!", options=own, segmentation=SENTENCES))
    assert len(model.worker.jobs) == 1


@pytest.mark.parametrize(
    ("prefix", "num_searches"), [((2, 2, 2), 1), ((4, 2, 3, 2, 3, 2, 3), 1), ((2, 3, 2, 3), 2), ((2, 2), 2)]
)
def test_a_prefix_that_goes_round_in_circles_is_not_searched_again(
    prefix: tuple[int, ...], num_searches: int
) -> None:
    model = FakeModel(lambda _: (hypothesis(2, 2, 2),))
    request = request_of(model, "Aa b!", segmentation=SENTENCES)
    (item,) = translate(dataclasses.replace(request, prefixes=[prefix]))
    assert [warning.reason for warning in item.warnings] == [REPETITION]
    assert len(model.worker.jobs) == num_searches


def test_a_prefix_is_that_of_a_texts_first_segment() -> None:
    model = FakeModel(copy)
    request = request_of(model, "Aa b! Ccc d!", "", "e", segmentation=SENTENCES)
    translate(dataclasses.replace(request, prefixes=[(7, 8), (6,), ()]))
    found = [job.options.constraints for job in model.worker.jobs]
    assert found == [Constraints(prefix=(7, 8)), None, None]
