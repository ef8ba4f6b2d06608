"""Contrastive search over scores and hidden states made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.text.sentencepiece_tokenizer import END_ID
from server.engine.searches.methods import new_search
from server.engine.searches.search import Best, Continuation, Search, StepOutputs
from server.engine.sequence import Contrastive, InferenceError, SequenceRequest, StopReason

START = (1.0, 0.0, 0.0)  # START's hidden state
ELSEWHERE = (0.0, 1.0, 0.0)


def search_of(penalty_alpha: float, limit: int = 9) -> Search:
    request = SequenceRequest(
        sequence_id=0,
        source=(4, END_ID),
        method=Contrastive(top_k=2, penalty_alpha=penalty_alpha),
        length_penalty=0.0,
        max_target_tokens=limit,
    )
    return new_search(request, END_ID)


def step_of(
    hidden: list[tuple[float, ...]], tokens: list[int], probabilities: list[float], dtype: str = "float32"
) -> StepOutputs:
    """Both hypotheses' best next tokens; those after the second are 100 higher."""
    token = np.array([tokens, [100 + t for t in tokens]])
    log_probs = np.log(np.array([probabilities] * 2), dtype=np.float32)
    states: NDArray[np.generic] = np.array(hidden, dtype)
    return StepOutputs(candidates=Best(token[None], log_probs[None]), extra={"hidden": states[None]})


FIRST = step_of([START, START], [10, 11, 12, 13], [0.5, 0.4, 0.06, 0.04])


def after(chosen: int, token: int = 20) -> Continuation:
    """The two best tokens, 100 higher after the second hypothesis; the better one keeps its place."""
    tokens = [token + 100 * chosen, token + 1 + 100 * chosen]
    return Continuation([chosen] * 2, tokens[::-1] if chosen else tokens)


def second(search: Search, *hidden: tuple[float, ...], dtype: str = "float32") -> Continuation | None:
    """Start, then tell the candidates 10 (0.5) and 11 (0.4) by their hidden states."""
    assert search.advance(FIRST, 0) == Continuation([0, 0], [10, 11])
    return search.advance(step_of(list(hidden), [20, 21, 22, 23], [0.4, 0.3, 0.2, 0.1], dtype), 0)


@pytest.mark.parametrize(("penalty_alpha", "chosen"), [(0.0, 0), (0.09, 0), (0.095, 1), (1.0, 1)])
def test_a_less_probable_token_wins_where_the_penalty_outweighs(penalty_alpha: float, chosen: int) -> None:
    """0.5 (1 - a) - a against 0.4 (1 - a): equal at a = 1 / 11."""
    assert second(search_of(penalty_alpha), START, ELSEWHERE) == after(chosen)


def test_of_equal_scores_the_more_probable_token_wins() -> None:
    for hidden in (START, ELSEWHERE):
        assert second(search_of(1.0), hidden, hidden) == after(0)


def test_of_equal_scores_the_more_probable_token_wins_wherever_it_stands() -> None:
    search = search_of(1.0)
    assert second(search, START, ELSEWHERE) == after(1) == Continuation([1, 1], [121, 120])
    found = search.advance(step_of([START, START], [30, 31, 32, 33], [0.4, 0.3, 0.2, 0.1]), 0)
    assert found == after(1, 30), "120, which stands second, is the more probable"


def test_a_hidden_state_counts_by_its_direction_alone() -> None:
    longer = (0.0, 700.0, 0.0)
    assert second(search_of(1.0), ELSEWHERE, longer) == after(0)
    assert second(search_of(0.5), (0.01, 0.0, 0.0), longer) == after(1)


def test_a_zero_hidden_state_resembles_nothing() -> None:
    assert second(search_of(0.5), START, (0.0, 0.0, 0.0)) == after(1)


def test_what_resembles_any_earlier_token_is_penalized() -> None:
    """After START and a token that points elsewhere, a third direction is the only new one."""
    for old in (START, ELSEWHERE):
        search = search_of(0.6)
        second(search, ELSEWHERE, START)
        found = search.advance(step_of([old, (0.0, 0.0, 1.0)], [30, 31, 32, 33], [0.25] * 4), 0)
        assert found == after(1, 30)


def test_half_precision_hidden_states_do_not_overflow() -> None:
    large = (60000.0, 60000.0, 60000.0)
    assert second(search_of(0.5), large, ELSEWHERE, dtype="float16") == after(1)


def test_a_chosen_end_ends_it_and_the_log_prob_sums_what_was_chosen() -> None:
    search = search_of(0.5)
    assert search.advance(step_of([START, START], [10, END_ID, 12, 13], [0.5, 0.4, 0.06, 0.04]), 0)
    assert search.advance(step_of([START, ELSEWHERE], [20, 21, 22, 23], [0.25] * 4), 0) is None
    ((ending),) = search.endings()
    assert ending.hypothesis.token_ids == (END_ID,)
    assert ending.hypothesis.stop_reason is StopReason.END
    assert ending.hypothesis.log_prob == pytest.approx(np.log(0.4))


def test_the_limit_ends_it_after_the_last_candidates_were_run() -> None:
    search = search_of(0.5, limit=1)
    assert second(search, START, ELSEWHERE) is None
    (ending,) = search.endings()
    assert (ending.hypothesis.token_ids, ending.slot) == ((11,), 0)
    assert ending.hypothesis.stop_reason is StopReason.LENGTH


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_hidden_state_that_is_no_number_raises(bad: float) -> None:
    with pytest.raises(InferenceError, match="a hidden state is not a number"):
        second(search_of(0.5), START, (0.0, bad, 0.0))
