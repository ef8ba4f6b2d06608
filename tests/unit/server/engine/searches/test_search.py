"""The engine's searches against the slow ones of the model, both over the same scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from export.contract.graph_names import GraphName
from model.searches import beam_search as oracle
from model.searches.contrastive_search import contrastive_search
from model.searches.first_token import FirstTokenHiddenScorer
from model.searches.sampling import sample
from model.text.sentencepiece_tokenizer import END_ID, START_ID
from model.text.special_ids import DEFAULT_SPECIAL_IDS
from server.engine.searches.methods import new_search
from server.engine.searches.search import GREEDY_SCORE, Best, StepOutputs, finish, keep_places
from server.engine.sequence import (
    AttentionChoice,
    Beam,
    Contrastive,
    Hypothesis,
    InferenceError,
    Method,
    Sampling,
    SequenceRequest,
    StopReason,
)

V = 12  # at least 2 x the widest beam
E = 6
HEADS = 4
SOURCE = [4, 5, END_ID]
CAPACITY = 8  # of the source, in the lane
ROW = 1  # where the sequence stands among others
SEEDS = range(12)
SAMPLINGS = [
    Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=5),
    Sampling(temperature=0.6, top_k=4, top_p=1.0, seed=6),
    Sampling(temperature=1.8, top_k=0, top_p=0.7, seed=7),
    Sampling(temperature=2.5, top_k=6, top_p=0.9, seed=2**63),
]
CONTRASTIVES = [
    Contrastive(top_k=k, penalty_alpha=a) for k, a in [(1, 0.6), (2, 0.5), (4, 0.6), (5, 0.95), (5, 0.0)]
]
METHODS: list[Method] = [Beam(beam_size=1), Beam(beam_size=4), *SAMPLINGS, *CONTRASTIVES]


class RandomScorer:
    """Scores, hidden states and attention that depend on the whole prefix, and on nothing else."""

    special_ids = DEFAULT_SPECIAL_IDS

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def _random(self, prefix: tuple[int, ...], kind: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, kind, *prefix])

    def logits(self, prefix: tuple[int, ...]) -> NDArray[np.float32]:
        """Of the next token after a prefix without START_ID (V)."""
        logits = self._random(prefix, 0).normal(size=V)
        logits[END_ID] += 0.4 * len(prefix) - 1.0  # early ends, late ends and none at all
        return logits.astype(np.float32)

    def log_probs(self, prefix: tuple[int, ...]) -> NDArray[np.float32]:
        """Likewise, normalised."""
        return torch.from_numpy(self.logits(prefix)).log_softmax(dim=-1).numpy()

    def hidden(self, prefix: tuple[int, ...]) -> NDArray[np.float32]:
        """The hidden state (E) at the last token of START_ID and a prefix."""
        return self._random(prefix, 1).normal(loc=0.5, size=E).astype(np.float32)

    def attention(self, prefix: tuple[int, ...]) -> NDArray[np.float32]:
        """Over the source (H, CAPACITY), as the token after a prefix is predicted."""
        return self._random(prefix, 2).random((HEADS, CAPACITY), np.float32)

    def step(self, prefixes: Sequence[tuple[int, ...]], asked: frozenset[str]) -> StepOutputs:
        """What a lane's step gives for W hypotheses in row ROW, and nothing that was not asked for."""
        width = len(prefixes)
        log_probs = np.stack([self.log_probs(prefix) for prefix in prefixes])  # (W, V)
        token = np.argsort(-log_probs, axis=1)[:, : 2 * width]  # (W, 2W)
        best = np.take_along_axis(log_probs, token, axis=1)
        extra = {
            "hidden": np.stack([self.hidden(prefix) for prefix in prefixes]),
            "attention_1": np.stack([self.attention(prefix) for prefix in prefixes], axis=1),  # (H, W, S)
        }
        return StepOutputs(
            self._greedy(prefixes[0], asked) if width == 1 else None,
            Best(_among_others(token), _among_others(best)) if GraphName.CANDIDATES in asked else None,
            _among_others(log_probs) if GraphName.LOG_PROBS in asked else None,
            {name: _among_others(array) for name, array in extra.items() if name in asked},
        )

    def _greedy(self, prefix: tuple[int, ...], asked: frozenset[str]) -> Best:
        logits = self.logits(prefix)
        token = logits.argmax()
        scores = self.log_probs(prefix) if asked & {GREEDY_SCORE, GraphName.LOG_PROBS} else logits
        return Best(_among_others(np.array(token)), _among_others(scores[token]))

    def encode(self, source: Tensor) -> None:
        """Part of the oracles' protocol; the source does not matter."""

    def decode_step(self, prefix: Tensor, memory: None) -> Tensor:
        """Part of the oracles' protocol."""
        return self.decode_step_with_hidden(prefix, memory)[0]

    def decode_step_with_hidden(self, prefix: Tensor, memory: None) -> tuple[Tensor, Tensor]:
        """Part of the oracles' protocol."""
        rows = prefix.tolist()
        assert all(row[0] == START_ID for row in rows)
        prefixes = [tuple(row[1:]) for row in rows]
        log_probs, hidden = zip(*((self.log_probs(p), self.hidden(p)) for p in prefixes), strict=True)
        return torch.from_numpy(np.stack(log_probs)), torch.from_numpy(np.stack(hidden))


def _among_others(array: NDArray[Any]) -> NDArray[Any]:
    rows = np.full((ROW + 2, *array.shape), -7, array.dtype)
    rows[ROW] = array
    return rows


def _arrays(step: StepOutputs) -> list[NDArray[Any]]:
    bests = [best for best in (step.greedy, step.candidates) if best is not None]
    log_probs = [] if step.log_probs is None else [step.log_probs]
    return [
        *(best.token for best in bests),
        *(best.score for best in bests),
        *log_probs,
        *step.extra.values(),
    ]


def request_of(
    method: Method, limit: int, alpha: float = 1.0, attention: AttentionChoice | None = None
) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=0,
        source=tuple(SOURCE),
        method=method,
        length_penalty=alpha,
        max_target_tokens=limit,
        attention=attention,
    )


def run(scorer: RandomScorer, request: SequenceRequest) -> tuple[Hypothesis, ...]:
    """Drive a search as a lane does: a step's outputs in, the live prefixes out."""
    search, width = new_search(request, END_ID), request.method.width
    prefixes: list[tuple[int, ...]] = [()] * width
    while True:
        step = scorer.step(prefixes, search.extra_outputs)
        continuation = search.advance(step, ROW)
        for array in _arrays(step):  # a lane's arrays are written anew
            array.fill(np.nan if array.dtype.kind == "f" else -1)
        if continuation is None:
            return tuple(ending.hypothesis for ending in search.endings())
        assert len(continuation.parents) == len(continuation.tokens) == width
        assert all(continuation.parents[p] == p for p in continuation.parents), "its past was overwritten"
        following = zip(continuation.parents, continuation.tokens, strict=True)
        prefixes = [(*prefixes[parent], token) for parent, token in following]


def slow(scorer: RandomScorer, request: SequenceRequest) -> list[oracle.SearchResult]:
    limit, alpha = request.max_target_tokens, request.length_penalty
    match request.method:
        case Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed):
            kept = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
            return [sample(scorer, SOURCE, limit, **kept, seed=seed, alpha=alpha)]  # type: ignore[arg-type]
        case Contrastive(top_k=top_k, penalty_alpha=penalty_alpha):
            return [contrastive_search(scorer, SOURCE, top_k, penalty_alpha, limit, alpha)]
        case Beam(beam_size=beam_size):
            return oracle.beam_search(scorer, SOURCE, beam_size, limit, alpha)


some_parents = st.integers(1, 9).flatmap(lambda w: st.lists(st.integers(0, w - 1), min_size=w, max_size=w))


@given(some_parents)
def test_whoever_is_extended_keeps_its_place_for_the_first_that_extends_it(parents: list[int]) -> None:
    order = keep_places(parents)
    assert sorted(order) == list(range(len(parents)))
    assert {order[parent] for parent in parents} == {parents.index(parent) for parent in parents}
    assert all(parents[order[parent]] == parent for parent in parents)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.5])
@pytest.mark.parametrize("limit", [1, 2, 5, 12])
@pytest.mark.parametrize("beam_size", [1, 2, 3, 4, 5])
def test_a_beam_finds_exactly_what_the_slow_search_finds(beam_size: int, limit: int, alpha: float) -> None:
    request = request_of(Beam(beam_size=beam_size), limit, alpha)
    for seed in SEEDS:
        found, expected = run(RandomScorer(seed), request), slow(RandomScorer(seed), request)
        assert [(h.token_ids, h.log_prob, h.score) for h in found] == [
            (h.token_ids, h.log_prob, h.score) for h in expected
        ]


@pytest.mark.parametrize("limit", [1, 2, 5, 12])
@pytest.mark.parametrize("method", [*SAMPLINGS, *CONTRASTIVES], ids=str)
def test_sampling_and_contrastive_search_find_exactly_what_the_slow_ones_find(
    method: Method, limit: int
) -> None:
    request = request_of(method, limit, 0.6)
    for seed in SEEDS:
        (found,), (expected,) = run(RandomScorer(seed), request), slow(RandomScorer(seed), request)
        assert (found.token_ids, found.log_prob, found.score) == (
            expected.token_ids,
            expected.log_prob,
            expected.score,
        )


@pytest.mark.parametrize(
    "method",
    [
        Beam(beam_size=1),
        Sampling(temperature=1.0, top_k=1, top_p=1.0, seed=1),
        Sampling(temperature=1.0, top_k=0, top_p=1e-9, seed=1),
        Sampling(temperature=1e-300, top_k=0, top_p=1.0, seed=1),
        Contrastive(top_k=1, penalty_alpha=0.6),
        Contrastive(top_k=4, penalty_alpha=0.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("limit", [1, 3, 12])
def test_what_leaves_no_choice_is_greedy_search(method: Method, limit: int) -> None:
    for seed in SEEDS:
        scorer = RandomScorer(seed)
        expected = oracle.greedy_search(scorer, SOURCE, limit, 0.6)
        (found,) = run(scorer, request_of(method, limit, 0.6))
        assert (found.token_ids, found.score) == (expected.token_ids, expected.score)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_hypothesis_says_whether_it_ended_or_was_cut(method: Method) -> None:
    seen = set()
    for seed in range(60):
        for hypothesis in run(RandomScorer(seed), request_of(method, 5)):
            has_ended = hypothesis.token_ids[-1] == END_ID
            assert has_ended or len(hypothesis.token_ids) == 5
            assert hypothesis.stop_reason is (StopReason.END if has_ended else StopReason.LENGTH)
            seen.add(hypothesis.stop_reason)
    assert seen == set(StopReason)


def test_hypotheses_come_best_first_and_are_all_different() -> None:
    for seed in SEEDS:
        found = run(RandomScorer(seed), request_of(Beam(beam_size=5), 12))
        scores = [hypothesis.score for hypothesis in found if hypothesis.score is not None]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.token_ids for hypothesis in found}) == 5


@pytest.mark.parametrize("heads", [(0, 1, 2, 3), (2,), (3, 1)])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_each_token_comes_with_the_attention_that_predicted_it(
    method: Method, heads: tuple[int, ...]
) -> None:
    for seed in SEEDS:
        scorer, choice = RandomScorer(seed), AttentionChoice(layer=1, heads=heads)
        found = run(scorer, request_of(method, 7, attention=choice))
        assert found == run(scorer, request_of(method, 7)), "attention changed the text"
        for hypothesis in found:
            ids = hypothesis.token_ids
            expected = [
                scorer.attention(ids[:t])[list(heads), : len(SOURCE)].mean(axis=0) for t in range(len(ids))
            ]
            assert hypothesis.attention is not None
            assert hypothesis.attention.dtype == np.float32
            np.testing.assert_allclose(hypothesis.attention, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("limit", [1, 2, 5, 12])
def test_greedy_search_without_scores_finds_the_same_tokens_and_reads_no_log_probability(limit: int) -> None:
    request = request_of(Beam(beam_size=1), limit)
    without = dataclasses.replace(request, with_scores=False)
    assert new_search(request, END_ID).extra_outputs == {GREEDY_SCORE}
    assert new_search(without, END_ID).extra_outputs == frozenset()
    for seed in SEEDS:
        (expected,), (found,) = run(RandomScorer(seed), request), run(RandomScorer(seed), without)
        assert found == dataclasses.replace(expected, log_prob=None, score=None)


@pytest.mark.parametrize("method", [Beam(beam_size=4), *SAMPLINGS, *CONTRASTIVES], ids=str)
def test_to_other_methods_it_makes_no_difference_whether_scores_are_wanted(method: Method) -> None:
    request = request_of(method, 5)
    without = dataclasses.replace(request, with_scores=False)
    assert run(RandomScorer(1), request) == run(RandomScorer(1), without)


@pytest.mark.parametrize("with_scores", [True, False])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_score_that_is_no_number_raises(method: Method, with_scores: bool) -> None:
    search = new_search(dataclasses.replace(request_of(method, 5), with_scores=with_scores), END_ID)
    step = RandomScorer(0).step([()] * method.width, search.extra_outputs)
    for best in (step.greedy, step.candidates):
        if best is not None:
            best.score.reshape(ROW + 2, -1)[ROW, 0] = np.nan
    if step.log_probs is not None:
        step.log_probs[ROW, 0, 0] = np.nan
    with pytest.raises(InferenceError, match="a log-probability is not a number"):
        search.advance(step, ROW)


def test_scores_follow_the_kind_of_length_penalty() -> None:
    request = dataclasses.replace(request_of(Beam(beam_size=1), limit=9, alpha=0.5), penalty_kind="power")
    finished = finish(request, (7,) * 4, -6.0, StopReason.LENGTH)
    assert finished.score == -3.0


@pytest.mark.parametrize("limit", [1, 2, 5, 12])
@pytest.mark.parametrize("method", [*METHODS, Beam(beam_size=2), Beam(beam_size=5)], ids=str)
def test_whatever_begins_with_a_given_token_is_what_the_slow_search_finds(method: Method, limit: int) -> None:
    """It counts in the length, and with log-probability 0 in the score."""
    first = 7
    request = dataclasses.replace(request_of(method, limit, 0.6), first_token=first)
    for seed in SEEDS:
        forced: Any = FirstTokenHiddenScorer(RandomScorer(seed), first)
        found, expected = run(RandomScorer(seed), request), slow(forced, request)
        assert [(h.token_ids, h.log_prob, h.score) for h in found] == [
            (h.token_ids, h.log_prob, h.score) for h in expected
        ]
        assert all(h.token_ids[0] == first for h in found)


def test_the_attention_of_a_given_token_is_kept_too() -> None:
    choice = AttentionChoice(layer=1, heads=(0,))
    request = dataclasses.replace(request_of(Beam(beam_size=3), 5, attention=choice), first_token=7)
    for hypothesis in run(RandomScorer(0), request):
        assert hypothesis.attention is not None
        for weights, t in zip(hypothesis.attention, range(len(hypothesis.token_ids)), strict=True):
            expected = RandomScorer(0).attention(hypothesis.token_ids[:t])[0, : len(SOURCE)]
            np.testing.assert_array_equal(weights, expected)
