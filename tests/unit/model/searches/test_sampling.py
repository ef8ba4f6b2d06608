"""The slow sampling: what it draws from, and that it draws so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.networks.transformer import Transformer
from model.searches.beam_search import greedy_search
from model.searches.sampling import invert, next_token_probabilities, sample
from model.text.sentencepiece_tokenizer import END_ID
from model.text.special_ids import DEFAULT_SPECIAL_IDS

SOURCE = [4, 1, 4, END_ID]
LOG_PROBS = torch.tensor([0.1, 0.4, 0.2, 0.2, 0.1]).log()


def test_without_filters_it_draws_from_what_the_model_says() -> None:
    found = next_token_probabilities(LOG_PROBS, 1.0, 0, 1.0)
    assert list(found) == [1, 2, 3, 0, 4], "the most probable first, of equal ones the lower id"
    assert found == pytest.approx({1: 0.4, 2: 0.2, 3: 0.2, 0: 0.1, 4: 0.1}, abs=1e-6)


def test_the_temperature_is_an_exponent() -> None:
    found = next_token_probabilities(LOG_PROBS, 0.5, 0, 1.0)
    squares = {1: 16 / 26, 2: 4 / 26, 3: 4 / 26, 0: 1 / 26, 4: 1 / 26}
    assert found == pytest.approx(squares, abs=1e-6)


def test_top_k_and_top_p_keep_the_most_probable_and_share_the_rest_out() -> None:
    assert next_token_probabilities(LOG_PROBS, 1.0, 2, 1.0) == pytest.approx({1: 2 / 3, 2: 1 / 3}, abs=1e-6)
    assert next_token_probabilities(LOG_PROBS, 1.0, 0, 0.5) == pytest.approx({1: 2 / 3, 2: 1 / 3}, abs=1e-6)
    assert next_token_probabilities(LOG_PROBS, 1.0, 0, 0.01) == pytest.approx({1: 1.0})
    # Of 0.4 and 0.2 renormalised, the first alone reaches 0.65.
    assert next_token_probabilities(LOG_PROBS, 1.0, 2, 0.65) == pytest.approx({1: 1.0})


def test_a_number_falls_on_the_token_whose_stretch_it_is_in() -> None:
    probabilities = {7: 0.5, 3: 0.25, 5: 0.25}
    stretches = [(0.0, 3), (0.24, 3), (0.25, 5), (0.49, 5), (0.5, 7), (0.99, 7)]
    assert [invert(probabilities, uniform) for uniform, _ in stretches] == [token for _, token in stretches]
    assert invert({7: 0.5, 3: 0.4}, 0.95) == 7, "a sum that rounding left under 1"


def test_the_seed_decides_and_greedy_search_is_what_is_left_without_a_choice(
    make_model: Callable[..., Transformer],
) -> None:
    model = make_model(vocabulary_size=20)
    drawn = [sample(model, SOURCE, 12, temperature=1.5, top_k=0, top_p=1.0, seed=s) for s in range(6)]
    assert drawn[3] == sample(model, SOURCE, 12, temperature=1.5, top_k=0, top_p=1.0, seed=3)
    assert len({hypothesis.token_ids for hypothesis in drawn}) > 3
    greedy = greedy_search(model, SOURCE, 12)
    for top_k, top_p in ((1, 1.0), (0, 1e-9)):
        assert sample(model, SOURCE, 12, temperature=1.5, top_k=top_k, top_p=top_p, seed=0) == greedy


class Table:
    """Whatever came before, the next token has LOG_PROBS."""

    special_ids = DEFAULT_SPECIAL_IDS

    def encode(self, source: Tensor) -> None:
        assert source.tolist() == [SOURCE]

    def decode_step(self, prefix: Tensor, memory: None) -> Tensor:
        return LOG_PROBS.expand(len(prefix), -1)


def test_tokens_are_as_frequent_as_they_are_probable() -> None:
    count = 2000
    options = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    found = Counter(
        sample(Table(), SOURCE, 1, **options, seed=seed).token_ids[0]  # type: ignore[arg-type]
        for seed in range(count)
    )
    for token, probability in enumerate(LOG_PROBS.exp().tolist()):
        deviation = (count * probability * (1 - probability)) ** 0.5
        assert abs(found[token] - count * probability) < 4 * deviation


def test_the_log_prob_is_the_model_s_whatever_was_filtered() -> None:
    found = sample(Table(), SOURCE, 6, temperature=0.3, top_k=2, top_p=1.0, seed=4)
    assert found.log_prob == pytest.approx(float(LOG_PROBS[list(found.token_ids)].sum()))
