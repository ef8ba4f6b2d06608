"""What fails is counted and named, the rest is scored, and a card keeps all but its scores."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from server.evaluation.carried_over import CarriedOver
from server.evaluation.report import CardError, Row, into_card, lines, tables
from server.evaluation.scores import Translated, score
from server.evaluation.translating import Direction

PAIRS = (
    ("The cat sleeps on the table.", "Il gatto dorme sul tavolo."),
    ("Yes.", "Sì."),
    ("word " * 300, "x"),
)
FAULT = "the text has 302 tokens, the limit is 256"


def translated(texts: Sequence[str | None]) -> Translated:
    direction = Direction(source="en", target="it")
    faults = {i: FAULT for i, text in enumerate(texts, 1) if text is None}
    return Translated(name="a.tsv.gz", direction=direction, pairs=PAIRS, texts=texts, faults=faults)


def test_a_sentence_that_fails_is_named_and_the_others_are_scored() -> None:
    part = translated(["Il gatto dorme sul tavolo.", "Sì.", None])
    scores = score(part)
    assert scores is not None
    assert (scores.num_sentences, round(scores.quality.bleu)) == (2, 100)
    assert {name: count for name, (count, _) in scores.lengths.items()} == {"1-10": 2}
    said = list(lines(Row(translated=part, scores=scores), 4, 1.0))
    assert said[0] == "a.tsv.gz en-it: BLEU 100.00 chrF 100.00 (2 sentences, beam 4, 1 s)"
    assert said[-1] == f"  line 3 is not scored: {FAULT}"


def test_nothing_translated_is_no_score() -> None:
    part = translated([None, None, None])
    assert score(part) is None
    said = list(lines(Row(translated=part, scores=None), 4, 1.0))
    assert said[0] == "a.tsv.gz en-it: no sentence is translated"
    assert len(said) == 4


def test_a_baseline_is_compared_over_what_both_translated() -> None:
    part, other = (
        translated(["Il gatto dorme sul tavolo.", None, None]),
        translated(["Il cane.", "Sì.", None]),
    )
    scores = score(part, other)
    assert scores is not None
    compared = scores.comparisons["BLEU"]
    assert compared.score == pytest.approx(100)
    assert compared.baseline < 50


def test_a_card_keeps_all_but_its_scores() -> None:
    part = translated(["Il gatto dorme sul tavolo.", "Sì.", None])
    carried = CarriedOver(rates={"dates_times": 0.5}, num_cases=2)
    text = tables([Row(translated=part, scores=score(part))], carried, 4)
    assert "| a | en-it | 100.00 | 100.00 | 2 | 1 |" in text
    assert "| dates times | 50% |" in text
    card = "# Card\n\n<!-- scores -->\nold\n<!-- end of the scores -->\n\n## Licence\n"
    again = into_card(card, text)
    assert again.startswith("# Card\n\n<!-- scores -->\n\nThrough the served artifact, beam 4:\n")
    assert again.endswith("\n\n<!-- end of the scores -->\n\n## Licence\n")
    assert "old" not in again
    assert into_card(again, text) == again


@pytest.mark.parametrize(
    "card", ["# Card\n", "<!-- scores -->\n", "<!-- end of the scores -->\n<!-- scores -->\n"]
)
def test_a_card_without_a_place_is_refused(card: str) -> None:
    with pytest.raises(CardError, match="<!-- end of the scores -->"):
        into_card(card, "")
