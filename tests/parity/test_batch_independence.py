"""A translation by the bundled models is the same to the last bit alone and among any others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.batch_independence import BEAM_SIZES, SLOTS, compare, open_session, sources_of

ARTIFACTS = Path(__file__).parents[2] / "export/artifacts"
NUM_SENTENCES = 300


@pytest.mark.parametrize("beam_size", BEAM_SIZES)
@pytest.mark.parametrize("name", ["en-it", "en-it-lstm"])
def test_sentences_that_join_and_leave_change_not_one_bit_of_others(
    pairs: list[tuple[str, str]], name: str, beam_size: int
) -> None:
    sources = sources_of(ARTIFACTS / name, pairs, NUM_SENTENCES)
    session = open_session(ARTIFACTS / name)
    assert (session.exclusive_graphs is not None) == (name == "en-it"), (
        "two threads for what is alone change bits of an LSTM"
    )
    compared = list(compare(session, sources, beam_size))
    assert [found.num_slots for found in compared] == list(SLOTS)
    for found in compared:
        assert found.num_sentences == NUM_SENTENCES
        assert found.num_joined_among_others > NUM_SENTENCES / 2
        assert (found.num_other_tokens, found.num_other_scores) == (0, 0), found
