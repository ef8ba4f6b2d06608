"""Batches hold every example once, within their limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.text.sentencepiece_tokenizer import END_ID, PADDING_ID, START_ID
from model.text.special_ids import DEFAULT_SPECIAL_IDS
from model.text.tokenizer import Tokenizer
from model.training.batches import (
    IGNORED,
    Example,
    both_directions,
    concatenated,
    epoch_batches,
    make_batch,
    pad,
)

lengths = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), max_size=40)


def examples_of(sizes: list[tuple[int, int]]) -> list[Example]:
    return [Example((7,) * source, (8,) * target) for source, target in sizes]


@given(sizes=lengths, batch_tokens=st.integers(1, 30), seed=st.integers(0, 5))
def test_an_epoch_holds_every_example_once(
    sizes: list[tuple[int, int]], batch_tokens: int, seed: int
) -> None:
    batches = epoch_batches(examples_of(sizes), batch_tokens, seed)
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))


@given(sizes=lengths, batch_tokens=st.integers(1, 30))
def test_a_batch_has_one_source_length_and_keeps_the_limit(
    sizes: list[tuple[int, int]], batch_tokens: int
) -> None:
    for batch in epoch_batches(examples_of(sizes), batch_tokens, seed=1):
        assert len({sizes[index][0] for index in batch}) == 1
        longest = max(max(sizes[index]) for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= batch_tokens


def test_the_order_depends_on_the_seed_alone() -> None:
    examples = examples_of([(1 + i % 5, 1 + i % 7) for i in range(60)])
    first = epoch_batches(examples, 20, seed=1)
    assert epoch_batches(examples, 20, seed=1) == first
    assert epoch_batches(examples, 20, seed=2) != first


def test_a_pair_becomes_an_example_in_each_direction(tokenizer: Tokenizer) -> None:
    to_italian, to_english = both_directions([("Hello!", "Ciao!")], ("en", "it"), tokenizer)
    assert list(to_italian.source) == tokenizer.encode_source("Hello!", "it")
    assert list(to_italian.target) == tokenizer.encode_target("Ciao!")
    assert list(to_english.source) == tokenizer.encode_source("Ciao!", "en")
    assert list(to_english.target) == tokenizer.encode_target("Hello!")


def test_the_target_output_is_one_token_ahead_of_its_input() -> None:
    examples = [Example((9, END_ID), (5, 6, END_ID)), Example((8, END_ID), (7, END_ID))]
    batch = make_batch(examples, DEFAULT_SPECIAL_IDS)
    assert batch.source.tolist() == [[9, END_ID], [8, END_ID]]
    assert batch.target_input.tolist() == [[START_ID, 5, 6], [START_ID, 7, PADDING_ID]]
    assert batch.target_output.tolist() == [[5, 6, END_ID], [7, END_ID, IGNORED]]


def test_rows_are_padded_to_the_longest() -> None:
    rows = pad([(1, 2, 3), (), (4,)], PADDING_ID).tolist()
    assert rows == [[1, 2, 3], [PADDING_ID] * 3, [4, PADDING_ID, PADDING_ID]]


def test_concatenated_pairs_join_whole_pairs_in_one_order() -> None:
    pairs = [("a.", "A!"), ("b.", "B!"), ("c.", "C!")]
    joined = concatenated(pairs, 50, 4, seed=1)
    assert len(joined) == 50
    for first, second in joined:
        assert 2 <= len(first.split()) <= 4
        assert second == first.upper().replace(".", "!")
    assert {len(first.split()) for first, _ in joined} == {2, 3, 4}
