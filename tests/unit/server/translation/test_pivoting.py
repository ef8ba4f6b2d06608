"""What becomes of texts that go through two models, where the two do not agree."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace

from server.documents.document import Segmentation
from server.engine.sequence import StopReason
from server.errors import InternalError, SourceTooLong
from server.translation.pivoting import translate_through
from server.translation.results import Translation, Translations
from server.translation.translator import Translator
from server.work.job import Job
from tests.unit.server.translation.fakes import END, FakeModel, FakeRecord, Outcome, hypothesis, request_of


def translate(
    first: FakeModel, second: FakeModel, *texts: str, segmentation: Segmentation = Segmentation.NONE
) -> Translations:
    then = replace(request_of(second, segmentation=segmentation), pair=("it", "de"))
    request = replace(request_of(first, *texts, segmentation=segmentation), then=then)
    return asyncio.run(translate_through(Translator(), request, nullcontext, lambda _: FakeRecord()))


def copying(job: Job) -> Outcome:
    """Each word as long as it was."""
    return (hypothesis(*job.source[1:-1], END),)


def test_a_text_that_the_first_model_fails_on_is_not_asked_of_the_second() -> None:
    error = InternalError("the model failed to translate this text")
    first = FakeModel(lambda job: error if job.source[1] == 1 else copying(job))
    second = FakeModel(copying)
    failed, good, too_long = translate(first, second, "a", "bb", "c " * 9).items
    assert failed is error
    assert isinstance(good, Translation)
    assert isinstance(too_long, SourceTooLong)
    assert len(second.worker.jobs) == 1


def test_a_text_that_the_second_model_fails_on_is_an_item_too() -> None:
    second = FakeModel(lambda job: InternalError("no") if job.source[1] == 1 else copying(job))
    failed, good = translate(FakeModel(copying), second, "a", "bb").items
    assert isinstance(failed, InternalError)
    assert isinstance(good, Translation)


def test_a_call_of_which_nothing_is_left_ends_after_the_first_model() -> None:
    second = FakeModel(copying)
    (item,) = translate(FakeModel(copying), second, "c " * 9).items
    assert isinstance(item, SourceTooLong)
    assert second.worker.jobs == []


def test_what_the_first_model_cut_short_is_cut_short() -> None:
    first = FakeModel(lambda _: (hypothesis(2, 2, stop_reason=StopReason.LENGTH),))
    (item,) = translate(first, FakeModel(copying), "bb bb bb").items
    assert isinstance(item, Translation)
    assert item.best.stop_reason is StopReason.LENGTH


def test_where_the_second_model_gets_other_segments_there_are_none() -> None:
    """Its limit is lower: what was one sentence is two for it."""
    first, second = FakeModel(copying), FakeModel(copying)
    kept = translate(first, second, "aa bb.", segmentation=Segmentation.SENTENCES)
    second.max_source_tokens = 4
    split = translate(first, second, "aa bb cc, dd.", segmentation=Segmentation.SENTENCES)
    (whole,), (parts,) = kept.items, split.items
    assert isinstance(whole, Translation)
    assert isinstance(parts, Translation)
    assert [(segment.source, segment.num_source_tokens) for segment in whole.segments] == [((0, 6), 4)]
    assert parts.segments == []
    assert parts.warnings
    assert all(warning.segment is None for warning in parts.warnings)
    assert (split.pivot, split.pair) == ("it", ("en", "de"))
