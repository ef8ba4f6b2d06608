"""What a model hardly looked at is told, and only where several words in a row are so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from server.documents.document import Segmentation
from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import AttentionChoice, Hypothesis, StopReason
from server.translation.coverage import unattended
from server.translation.results import Translation
from server.translation.translator import Translator
from server.work.job import Job
from tests.unit.server.translation.fakes import END, OPTIONS, FakeModel, FakeRecord, request_of


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ([1, 1, 1, 1, 0, 1, 1], ""),
        ([1, 0, 0, 0, 1, 0, 0], ""),
        ([1, 0, 0.04, 0, 0, 1, 1], "b c, d"),
        ([0, 0, 0, 1, 1, 0, 0], "a b c"),
        ([1, 0.06, 0.06, 0, 0.06, 0.06, 1], ""),
    ],
)
def test_a_run_of_words_is_told_and_marks_do_not_count(totals: Sequence[float], expected: str) -> None:
    assert unattended("a b c, d e f", [[total / 2 for total in totals]] * 2) == expected


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_clause_that_is_left_out_is_warned_of_where_the_model_tells(is_asked_for: bool) -> None:
    def first_word_alone(job: Job) -> tuple[Hypothesis]:
        weights = np.zeros((2, len(job.source)), np.float32)
        weights[0, 1] = weights[1, -1] = 1
        attention = weights if job.options.attention else None
        return (
            Hypothesis(
                token_ids=(2, END), log_prob=-2.0, score=-1.0, stop_reason=StopReason.END, attention=attention
            ),
        )

    choice = AttentionChoice(layer=0, heads=(0,)) if is_asked_for else None
    request = request_of(
        FakeModel(first_word_alone),
        "Aaaaa bbbbb ccccc ddddd",
        options=replace(OPTIONS, attention=choice),
        segmentation=Segmentation.SENTENCES,
    )
    (item,) = asyncio.run(Translator().translate(request, FakeRecord())).items
    told = TextWarning(reason=WarningReason.NOT_COVERED, segment=0, text="bbbbb ccccc ddddd")
    assert list(cast("Translation", item).warnings) == ([told] if is_asked_for else [])
