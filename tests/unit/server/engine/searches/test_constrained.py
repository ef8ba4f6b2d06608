"""Constraints in the engine's searches, against the slow ones over a scorer that keeps the same rules."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from model.searches.constraints import ConstrainedScorer, TargetRules
from model.text.sentencepiece_tokenizer import END_ID
from server.engine.constraints import Constraints
from server.engine.searches.beam_search import BeamSearch
from server.engine.searches.methods import new_search
from server.engine.searches.search import Best, StepOutputs
from server.engine.sequence import AttentionChoice, Beam, InferenceError, Method, StopReason
from tests.unit.server.engine.searches.test_search import (
    CONTRASTIVES,
    ROW,
    SAMPLINGS,
    RandomScorer,
    V,
    request_of,
    run,
    slow,
)


class Forbidden:
    """Two tokens, and after one of these all that are odd."""

    def after(self, prefix: Sequence[int]) -> NDArray[np.int64]:
        odd = range(5, V, 2) if prefix[-1:] == (6,) else ()
        return np.array([4, 8, *odd], np.int64)


class Everything:
    """All that is no end."""

    def after(self, prefix: Sequence[int]) -> NDArray[np.int64]:
        return (
            np.array([i for i in range(V) if i != END_ID], np.int64) if len(prefix) == 2 else np.empty(0, int)
        )


RULES: dict[str, dict[str, Any]] = {
    "a prefix": {"prefix": (7, 7, 9)},
    "a prefix that ends": {"prefix": (7, 9, END_ID)},
    "a least length": {"min_target_tokens": 5},
    "no token twice": {"no_repeat_ngram_size": 1},
    "no pair twice": {"no_repeat_ngram_size": 2},
    "a penalty": {"repetition_penalty": 1.7},
    "a reward": {"repetition_penalty": 0.5},
    "forbidden tokens": {"forbidden": Forbidden()},
    "nothing left": {"forbidden": Everything(), "min_target_tokens": 9},
    "all of them": {
        "prefix": (8, 4),
        "min_target_tokens": 6,
        "no_repeat_ngram_size": 2,
        "repetition_penalty": 1.3,
        "forbidden": Forbidden(),
    },
}
SEEDS = range(2)
ALL_METHODS = [Beam(beam_size=1), Beam(beam_size=4), SAMPLINGS[-1], CONTRASTIVES[2]]


def rules_of(constraints: Constraints) -> TargetRules:
    fields = {field.name: getattr(constraints, field.name) for field in dataclasses.fields(constraints)}
    forbidding = fields.pop("forbidden")
    if forbidding is not None:
        fields["forbidden"] = lambda prefix: forbidding.after(prefix).tolist()
    return TargetRules(**fields)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("method", ALL_METHODS, ids=str)
def test_every_search_finds_what_the_slow_one_finds_under_the_same_rules(method: Method, rules: str) -> None:
    constraints = Constraints(**RULES[rules])
    for seed, limit in enumerate((3, 8)):
        request = dataclasses.replace(request_of(method, limit, 0.6), constraints=constraints)
        scorer: Any = ConstrainedScorer(RandomScorer(seed), rules_of(constraints))
        found, expected = run(RandomScorer(seed), request), slow(scorer, request)
        assert [(h.token_ids, h.log_prob, h.score) for h in found] == [
            (h.token_ids, h.log_prob, h.score) for h in expected
        ]
        assert found


@pytest.mark.parametrize("method", ALL_METHODS, ids=str)
def test_a_target_begins_with_its_prefix_at_the_models_own_log_probability(method: Method) -> None:
    prefix = (5, 5, 11)
    request = dataclasses.replace(request_of(method, 9), constraints=Constraints(prefix=prefix))
    for seed in SEEDS:
        scorer = RandomScorer(seed)
        for hypothesis in run(scorer, request):
            ids = hypothesis.token_ids
            assert ids[:3] == prefix
            own = sum(float(scorer.log_probs(ids[:t])[token]) for t, token in enumerate(ids))
            assert hypothesis.log_prob == pytest.approx(own)


@pytest.mark.parametrize("method", ALL_METHODS, ids=str)
def test_no_rule_leaves_every_search_as_it_is(method: Method) -> None:
    request = request_of(method, 9)
    for seed in SEEDS:
        constrained = dataclasses.replace(request, constraints=Constraints())
        assert run(RandomScorer(seed), constrained) == run(RandomScorer(seed), request)


@pytest.mark.parametrize("method", ALL_METHODS, ids=str)
def test_no_target_breaks_a_rule(method: Method) -> None:
    constraints = Constraints(min_target_tokens=4, no_repeat_ngram_size=2, forbidden=Forbidden())
    for seed in SEEDS:
        request = dataclasses.replace(request_of(method, 9), constraints=constraints)
        for hypothesis in run(RandomScorer(seed), request):
            ids = hypothesis.token_ids
            assert len(ids) >= 4
            assert not {4, 8} & set(ids)
            pairs = list(itertools.pairwise(ids))
            assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("method", [Beam(beam_size=1), Beam(beam_size=4)], ids=str)
def test_where_nothing_may_follow_a_target_ends(method: Method) -> None:
    constraints = Constraints(**RULES["nothing left"])
    for hypothesis in run(
        RandomScorer(3), dataclasses.replace(request_of(method, 9), constraints=constraints)
    ):
        assert (len(hypothesis.token_ids), hypothesis.stop_reason) == (3, StopReason.END)


@pytest.mark.parametrize("method", ALL_METHODS, ids=str)
def test_a_first_token_is_certain_and_the_prefix_goes_on_behind_it(method: Method) -> None:
    request = dataclasses.replace(
        request_of(method, 9), first_token=7, constraints=Constraints(prefix=(7, 5), repetition_penalty=1.5)
    )
    found = run(RandomScorer(2), request)
    assert all(h.token_ids[:2] == (7, 5) for h in found)
    assert all(h.log_prob is not None and np.isfinite(h.log_prob) for h in found)


@pytest.mark.parametrize("method", ALL_METHODS, ids=str)
def test_constrained_targets_have_their_attention(method: Method) -> None:
    choice = AttentionChoice(layer=1, heads=(0, 2))
    constraints = Constraints(prefix=(7, 9), no_repeat_ngram_size=2)
    request = dataclasses.replace(request_of(method, 7, attention=choice), constraints=constraints)
    scorer = RandomScorer(4)
    for hypothesis in run(scorer, request):
        ids = hypothesis.token_ids
        expected = [scorer.attention(ids[:t])[[0, 2], :3].mean(axis=0) for t in range(len(ids))]
        assert hypothesis.attention is not None
        np.testing.assert_allclose(hypothesis.attention, expected, rtol=0, atol=1e-6)


def test_who_has_no_constraints_asks_for_nothing_more() -> None:
    request = request_of(Beam(beam_size=4), 9)
    constrained = dataclasses.replace(request, constraints=Constraints(no_repeat_ngram_size=3))
    assert new_search(request, END_ID).extra_outputs == {GraphName.CANDIDATES}
    assert new_search(constrained, END_ID).extra_outputs == {GraphName.LOG_PROBS}


@pytest.mark.parametrize("method", ALL_METHODS, ids=str)
def test_a_score_that_is_no_number_raises_under_constraints_too(method: Method) -> None:
    request = dataclasses.replace(request_of(method, 5), constraints=Constraints(prefix=(7,)))
    search = new_search(request, END_ID)
    step = RandomScorer(0).step([()] * method.width, search.extra_outputs)
    assert step.log_probs is not None
    step.log_probs[ROW, 0, 2] = np.nan
    with pytest.raises(InferenceError, match="a log-probability is not a number"):
        search.advance(step, ROW)


def test_a_target_that_is_all_prefix_is_scored_token_by_token() -> None:
    """What Score asks for; the oracle is the scorer itself."""
    target, scorer = (9, 4, 9, 11, END_ID), RandomScorer(5)
    request = dataclasses.replace(
        request_of(Beam(beam_size=1), len(target)), constraints=Constraints(prefix=target)
    )
    (found,) = run(scorer, request)
    expected = tuple(float(scorer.log_probs(target[:t])[token]) for t, token in enumerate(target))
    assert (found.token_ids, found.token_log_probs, found.stop_reason) == (target, expected, StopReason.END)
    assert found.log_prob == pytest.approx(sum(expected))


def test_an_end_that_cannot_be_finishes_no_hypothesis() -> None:
    search = BeamSearch(request_of(Beam(beam_size=2), 9), END_ID)

    def step(tokens: list[int], scores: list[float]) -> StepOutputs:
        best = Best(np.array([[tokens] * 2]), np.array([[scores] * 2], np.float32))  # (1, W, 2W)
        return StepOutputs(candidates=best)

    assert search.advance(step([7, END_ID, 8, 9], [-1.0, *[-np.inf] * 3]), 0) is not None
    assert search.advance(step([END_ID, 7, 8, 9], [-1.0, -2.0, -3.0, -4.0]), 0) is not None
    assert search.advance(step([END_ID, 7, 8, 9], [-1.0, -2.0, -3.0, -4.0]), 0) is None
    assert all(np.isfinite(ending.hypothesis.log_prob or 0.0) for ending in search.endings())
