"""The examples are those at the quartiles."""

from __future__ import annotations

from model.evaluation.examples import at_quartiles

REFERENCE = "abcdefgh"


def test_examples_stand_at_the_quartiles_of_the_scores() -> None:
    hypotheses = [REFERENCE[:length] for length in (8, 2, 6, 4)]
    sources = [f"source of {text}" for text in hypotheses]
    examples = at_quartiles(sources, hypotheses, [REFERENCE] * 4)
    assert [(example.percentile, example.hypothesis) for example in examples] == [
        (25, "abcd"),
        (50, "abcdef"),
        (75, "abcdefgh"),
    ]
    assert [example.source for example in examples] == [f"source of {x.hypothesis}" for x in examples]


def test_no_sentences_have_no_examples() -> None:
    assert at_quartiles([], [], []) == []
