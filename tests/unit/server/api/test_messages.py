"""Results become messages field by field, and nothing of them is lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from google.rpc import code_pb2

from server.api.messages import response_message
from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import StopReason
from server.errors import SourceTooLong
from server.models.served_model import ServedModel
from server.translation.results import (
    Attention,
    TranslatedHypothesis,
    TranslatedSegment,
    Translation,
    Translations,
)
from traghetto.pb.translation.v1 import translation_pb2 as pb

MODEL = cast("ServedModel", SimpleNamespace(name="fake", sha256="ab12"))


def hypothesis(
    text: str, stop_reason: StopReason | None, attention: Attention | None = None
) -> TranslatedHypothesis:
    return TranslatedHypothesis(
        text=text,
        score=-0.5,
        log_prob=-1.5,
        stop_reason=stop_reason,
        num_target_tokens=2,
        attention=attention,
    )


def message_of(*hypotheses: TranslatedHypothesis) -> pb.Translation:
    translation = Translation(hypotheses=list(hypotheses), num_source_tokens=3)
    (item,) = response_message(Translations(items=[translation], model=MODEL, pair=("en", "pt-BR"))).items
    return item.translation


def test_the_best_hypothesis_speaks_for_the_translation() -> None:
    message = message_of(hypothesis("uno", StopReason.END), hypothesis("due", StopReason.LENGTH))
    assert [i.text for i in message.hypotheses] == ["uno", "due"]
    assert (message.text, message.source_tokens, message.target_tokens) == ("uno", 3, 2)
    assert message.stop_reason == message.hypotheses[0].stop_reason == pb.STOP_REASON_END_OF_SENTENCE
    assert (message.hypotheses[0].score, message.hypotheses[0].log_prob) == (-0.5, -1.5)
    assert not message.hypotheses[0].HasField("attention")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (StopReason.END, pb.STOP_REASON_END_OF_SENTENCE),
        (StopReason.LENGTH, pb.STOP_REASON_MAX_TARGET_TOKENS),
        (None, pb.STOP_REASON_EMPTY_SOURCE),
    ],
)
def test_every_reason_to_stop_has_its_value(reason: StopReason | None, expected: int) -> None:
    assert message_of(hypothesis("", reason)).stop_reason == expected


def test_a_text_that_came_out_as_it_went_in_says_so() -> None:
    assert message_of(hypothesis("{name}", None)).stop_reason == pb.STOP_REASON_COPIED


def test_segments_have_their_ranges_and_their_own_hypotheses_where_there_are_more() -> None:
    first, second = hypothesis("uno", StopReason.END), hypothesis("un", StopReason.LENGTH)
    segments = [
        TranslatedSegment(source=(1, 4), target=(2, 5), hypotheses=hypotheses, num_source_tokens=3)
        for hypotheses in ([first, second], [second])
    ]
    for count, expected in ((2, [["uno", "un"], []]), (1, [[]])):
        translation = Translation(hypotheses=[first], num_source_tokens=6, segments=segments[:count])
        (item,) = response_message(Translations(items=[translation], model=MODEL, pair=("en", "pt-BR"))).items
        found = item.translation.segments
        assert [[h.text for h in segment.hypotheses] for segment in found] == expected
        assert (found[0].source, found[0].target) == (
            pb.ByteRange(start=1, end=4),
            pb.ByteRange(start=2, end=5),
        )
        assert (found[0].score, found[0].log_prob) == (-0.5, -1.5)
        assert (found[0].source_tokens, found[0].target_tokens) == (3, 2)
        assert found[0].stop_reason == pb.STOP_REASON_END_OF_SENTENCE


@pytest.mark.parametrize("reason", WarningReason)
def test_every_warning_has_its_value(reason: WarningReason) -> None:
    warnings = [TextWarning(reason=reason, segment=0, text="7"), TextWarning(reason=reason)]
    translation = Translation(
        hypotheses=[hypothesis("uno", StopReason.END)], num_source_tokens=3, warnings=warnings
    )
    (item,) = response_message(Translations(items=[translation], model=MODEL, pair=("en", "pt-BR"))).items
    with_segment, without = item.translation.warnings
    assert pb.WarningReason.Name(with_segment.reason) == f"WARNING_REASON_{reason.name}"
    assert (with_segment.HasField("segment"), with_segment.segment, with_segment.text) == (True, 0, "7")
    assert not without.HasField("segment")


def test_a_score_that_is_none_is_absent() -> None:
    bare = TranslatedHypothesis(
        text="uno", score=None, log_prob=None, stop_reason=StopReason.END, num_target_tokens=2
    )
    (message,) = message_of(bare).hypotheses
    assert not message.HasField("score")
    assert not message.HasField("log_prob")


def test_attention_is_laid_out_row_by_row() -> None:
    weights = np.array([[0.5, 0.25, 0.25], [0, 1, 0]], np.float32)
    attention = Attention(
        source_tokens=["a", "b", "c"], target_tokens=["x", "y"], layer=1, heads=(0, 2), weights=weights
    )
    (message,) = message_of(hypothesis("uno", StopReason.END, attention)).hypotheses
    assert message.attention == pb.Attention(
        source_tokens=["a", "b", "c"],
        target_tokens=["x", "y"],
        layer=1,
        heads=[0, 2],
        weights=[0.5, 0.25, 0.25, 0, 1, 0],
    )


def test_items_keep_their_order_and_an_error_is_a_status() -> None:
    good = Translation(hypotheses=[hypothesis("uno", StopReason.END)], num_source_tokens=3)
    message = response_message(
        Translations(items=[SourceTooLong(300, 256), good], model=MODEL, pair=("en", "pt-BR"))
    )
    assert [item.WhichOneof("result") for item in message.items] == ["error", "translation"]
    assert message.items[0].error.code == code_pb2.INVALID_ARGUMENT
    assert "300" in message.items[0].error.message
    assert (message.model.name, message.model.sha256) == ("fake", "ab12")
