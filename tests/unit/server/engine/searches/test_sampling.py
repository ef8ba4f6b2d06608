"""One draw: from which tokens, and how often each."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.searches.sampling import invert, next_token_probabilities
from server.engine.searches.sampling import draw
from server.engine.sequence import Sampling

NUM_DRAWS = 20_000
# Of a chi-square variable with up to 11 degrees of freedom less than one in 10 000 is above.
MAX_CHI_SQUARE = 38.0


def method_of(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Sampling:
    return Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=0)


def log_probs_of(*probabilities: float) -> NDArray[np.float32]:
    return np.array([math.log(probability) for probability in probabilities], np.float32)


def random_log_probs(random: np.random.Generator, size: int) -> NDArray[np.float32]:
    """In steps of a half, so that some are equal."""
    logits = torch.from_numpy(np.round(2 * random.normal(scale=2, size=size)) / 2)
    return logits.log_softmax(dim=-1).float().numpy()


def support(log_probs: NDArray[np.float32], method: Sampling) -> list[int]:
    """Tokens in the order of their places between 0 and 1."""
    drawn = [draw(log_probs, method, uniform) for uniform in np.linspace(0, 1, 5000, endpoint=False)]
    return list(dict.fromkeys(drawn))


@given(
    seed=st.integers(0, 2**32),
    size=st.integers(1, 60),
    temperature=st.sampled_from([0.05, 0.7, 1.0, 3.0, 100.0]),
    top_k=st.sampled_from([0, 1, 3, 20, 100]),
    top_p=st.sampled_from([1e-6, 0.137, 0.5113, 0.9391, 1.0]),
)
def test_each_draw_is_that_of_the_slow_sampling(
    seed: int, size: int, temperature: float, top_k: int, top_p: float
) -> None:
    random = np.random.default_rng(seed)
    log_probs, method = random_log_probs(random, size), method_of(temperature, top_k, top_p)
    expected = next_token_probabilities(torch.from_numpy(log_probs), temperature, top_k, top_p)
    for uniform in random.random(50):
        assert draw(log_probs, method, uniform) == invert(expected, uniform)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 0, 1.0), (0.5, 0, 1.0), (2.0, 5, 1.0), (1.0, 0, 0.8), (1.3, 7, 0.9)],
)
def test_tokens_are_drawn_as_often_as_they_are_probable(temperature: float, top_k: int, top_p: float) -> None:
    random = np.random.default_rng(3)
    log_probs = random_log_probs(random, 12)
    expected = next_token_probabilities(torch.from_numpy(log_probs), temperature, top_k, top_p)
    method = method_of(temperature, top_k, top_p)
    drawn = np.bincount([draw(log_probs, method, u) for u in random.random(NUM_DRAWS)], minlength=12)
    assert set(np.flatnonzero(drawn)) <= expected.keys()
    means = {token: NUM_DRAWS * probability for token, probability in expected.items()}
    assert sum((drawn[token] - mean) ** 2 / mean for token, mean in means.items()) < MAX_CHI_SQUARE


def test_of_equal_tokens_the_lower_ids_are_kept() -> None:
    log_probs = log_probs_of(0.1, 0.2, 0.2, 0.2, 0.3)
    assert support(log_probs, method_of()) == [0, 1, 2, 3, 4]
    assert support(log_probs, method_of(top_k=3)) == [1, 2, 4]
    assert support(log_probs, method_of(top_p=0.6)) == [1, 2, 4]


def test_two_tokens_of_nearly_equal_probability_do_not_change_places() -> None:
    log_probs = log_probs_of(0.2, 0.4, 0.4)
    for difference in (1e-6, -1e-6):
        log_probs[2] = log_probs[1] + difference
        for top_k in (0, 2):
            assert draw(log_probs, method_of(top_k=top_k), 0.45) == 1
            assert draw(log_probs, method_of(top_k=top_k), 0.65) == 2


def test_top_p_is_a_share_of_what_top_k_leaves() -> None:
    log_probs = log_probs_of(0.4, 0.2, 0.2, 0.2)
    assert support(log_probs, method_of(top_p=0.65)) == [0, 1, 2]
    assert support(log_probs, method_of(top_k=2, top_p=0.65)) == [0]


def test_the_temperature_comes_before_top_p() -> None:
    log_probs = log_probs_of(0.6, 0.3, 0.1)
    assert support(log_probs, method_of(top_p=0.7)) == [0, 1]
    assert support(log_probs, method_of(temperature=0.5, top_p=0.7)) == [0]
    assert support(log_probs, method_of(temperature=50.0, top_p=0.7)) == [0, 1, 2]


def test_a_token_without_probability_is_never_drawn() -> None:
    log_probs = np.array([-np.inf, np.log(0.5), -200.0, np.log(0.5)], np.float32)
    assert support(log_probs, method_of()) == [1, 3]
    assert draw(log_probs, method_of(), float(np.nextafter(1, 0))) == 3


def test_a_certain_token_is_always_drawn() -> None:
    """A log-probability of 0, of either sign, or just above by rounding."""
    for certain in (0.0, -0.0, 1e-7):
        log_probs = np.array([-2000.0, certain, -2000.0], np.float32)
        assert support(log_probs, method_of(temperature=2.0)) == [1]
