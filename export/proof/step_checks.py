"""A proof's checks of single decoder steps: against PyTorch, and against the same sequence alone.

Each check names what it rules out. All of them run, so that a refusal lists every fault, the most
specific first: a wrong mask also spoils the texts, and the mask is what one wants to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch

from export.proof.checks import Check, differences
from export.proof.graph_model import Floats, GraphModel
from export.proof.sentences import Sentence, spread_by_length
from export.proof.trace import Layout, RowScores, Traced, capacity_of, trace
from model.networks.encoder_decoder import EncoderDecoder
from model.searches.beam_search import greedy_search
from model.searches.first_token import beginning_with

LIMIT = 1e-4  # absolute; of a log-probability in natural logarithm
# Log-probabilities that reach further down come of larger logits, whose sums fp32 rounds as much more.
_SPREAD = 16.0
BEAM_SIZE = 4
NUM_TRACED = 12
_NUM_BEAM_STEPS = 8

Steps = list[RowScores]
Values = Callable[[RowScores], Sequence[Floats]]


def log_prob_checks(model: EncoderDecoder, graphs: GraphModel, sentences: Sequence[Sentence]) -> list[Check]:
    """Hold fp32 graphs against PyTorch step by step.

    The first check hides nothing, each of the next adds one thing that must not matter, so that the
    first failure names the fault.
    """
    chosen = spread_by_length(sentences, NUM_TRACED)
    greedy = [greedy_traced(model, s) for s in chosen]
    beams = [beam_traced(model, s, seed) for seed, s in enumerate(chosen)]
    expected_greedy = [_expected(model, traced) for traced in greedy]
    expected_beams = [_expected(model, traced) for traced in beams]
    checks, found = [], []
    for name, condition, layout in _layouts(graphs):
        found = trace(graphs, greedy, layout)
        checks.append(_close(name, f"log-probability, {condition}", _log_probs, found, expected_greedy))
    found_beams = trace(graphs, beams, Layout(rows=3, padded_together=True, noise=True))
    condition = "hypotheses reordered at random, sequences joining and leaving, noise as above"
    return [
        *checks,
        _close("beams", f"log-probability, {condition}", _log_probs, found_beams, expected_beams),
        _best_check(found_beams),
        _close("hidden", f"hidden state, {condition}", lambda s: [s.hidden], found_beams, expected_beams),
        *_attention_checks(chosen, [*found, *found_beams], [*expected_greedy, *expected_beams]),
    ]


def _layouts(graphs: GraphModel) -> list[tuple[str, str, Layout]]:
    """What is rightly hidden, one thing more each time; a model without caches has no later columns."""
    alone = (
        "positions" if graphs.pools.caches else "recurrence",
        "one sequence alone, nothing to mask",
        Layout(rows=1, exact_source=True, exact_target=True),
    )
    causal = (
        "causal_mask",
        "one sequence alone, later target columns filled with noise",
        Layout(rows=1, exact_source=True, noise=True),
    )
    source = (
        "source_mask",
        "one sequence alone, source padding and the positions behind it filled with noise too",
        Layout(rows=1, noise=True),
    )
    rows = (
        "cache_rows" if graphs.pools.caches else "state_rows",
        "sequences of mixed lengths joining and leaving the rows, noise where nothing may matter",
        Layout(rows=4, padded_together=True, noise=True),
    )
    return [alone, *([causal] if graphs.pools.caches else []), source, rows]


def _close(name: str, what: str, values: Values, found: Sequence[Steps], expected: Sequence[Steps]) -> Check:
    return Check(
        name=name,
        what=f"largest absolute difference to PyTorch of a {what}"
        + (f", for each {_SPREAD:g} that they spread" if values is _log_probs else ""),
        measured=_largest_difference(values, found, expected),
        limit=LIMIT,
    )


def _best_check(found: Sequence[Steps]) -> Check:
    """The candidates that a search reads are the best of all log-probabilities, and their ids say which."""
    distances = []
    for scores in chain.from_iterable(found):
        assert scores.best is not None, "PyTorch gives no candidates"
        log_probs, token = scores.best
        best = -np.sort(-scores.log_probs, axis=-1)[:, : log_probs.shape[1]]
        picked = np.take_along_axis(scores.log_probs, token, axis=-1)
        distances.append(max(differences(log_probs, best).max(), differences(log_probs, picked).max()))
    what = "largest absolute difference of a beam's candidate to the best log-probability, and to its id's"
    return Check(name="candidates", what=what, measured=float(np.max(distances)), limit=0.0)


def _attention_checks(
    chosen: Sequence[Sentence], found: Sequence[Steps], expected: Sequence[Steps]
) -> list[Check]:
    """Attention over the source, of greedy sequences and of beams, both in the order of `chosen`."""
    if not found[0][0].attention:
        return []
    on_source = [
        [replace(s, attention=tuple(a[..., : len(sentence.source)] for a in s.attention)) for s in steps]
        for steps, sentence in zip(found, [*chosen, *chosen], strict=True)
    ]
    return [_close("attention", "weight on a source position", lambda s: s.attention, on_source, expected)]


def neighbour_checks(model: EncoderDecoder, graphs: GraphModel, sentences: Sequence[Sentence]) -> list[Check]:
    """In any precision: what stands in other rows or behind a mask changes no bit, nor is attended to."""
    chosen = spread_by_length(sentences, NUM_TRACED)
    greedy = [greedy_traced(model, s) for s in chosen]
    beams = [beam_traced(model, s, seed) for seed, s in enumerate(chosen)]
    checks, behind = [], []
    for name, sequences in (("neighbours", greedy), ("neighbours_in_beams", beams)):
        capacity = capacity_of(sequences)
        alone = [trace(graphs, [traced], Layout(rows=2, capacity=capacity))[0] for traced in sequences]
        together = trace(graphs, sequences, Layout(rows=5, noise=True))
        checks.append(
            Check(
                name=name,
                what="largest absolute difference of a log-probability, hidden state or attention weight, "
                "alone and among others with noise behind every mask",
                measured=_largest_difference(_everything, together, alone),
                limit=0.0,
            )
        )
        behind += [
            float(np.abs(weights[..., len(sentence.source) :]).max(initial=0.0))
            for steps, sentence in zip(together, chosen, strict=True)
            for scores in steps
            for weights in scores.attention
        ]
    if behind:
        what = "largest attention weight behind the end of a source"
        checks.append(Check(name="attention_mask", what=what, measured=max(behind), limit=0.0))
    return checks


def log_prob_distance(
    model: EncoderDecoder, graphs: GraphModel, sentences: Sequence[Sentence]
) -> dict[str, float]:
    """How far a smaller precision's log-probabilities are from PyTorch fp32: mean and largest."""
    traced = [greedy_traced(model, s) for s in spread_by_length(sentences, NUM_TRACED)]
    found, expected = trace(graphs, traced, Layout(rows=4)), [_expected(model, t) for t in traced]
    distances = [
        differences(ours.log_probs, theirs.log_probs)
        for ours, theirs in zip(chain.from_iterable(found), chain.from_iterable(expected), strict=True)
    ]
    return {
        "log_prob_difference_mean": float(np.mean([d.mean() for d in distances])),
        "log_prob_difference_max": float(max(d.max() for d in distances)),
    }


def greedy_traced(model: EncoderDecoder, sentence: Sentence) -> Traced:
    """A sentence and its greedy translation by PyTorch."""
    scorer = beginning_with(model, sentence.first_token)
    found = greedy_search(scorer, list(sentence.source), min(sentence.max_target_tokens, 32))
    fed = (model.special_ids.start, *found.token_ids[:-1])
    return Traced(sentence.source, tuple((t,) for t in fed), tuple((0,) for _ in fed))


def beam_traced(model: EncoderDecoder, sentence: Sentence, seed: int) -> Traced:
    """A sentence and a beam of random tokens, reordered at random."""
    random = np.random.default_rng(seed)
    size = model.config.vocabulary_size
    steps = _NUM_BEAM_STEPS - seed % 3
    tokens = [(model.special_ids.start,) * BEAM_SIZE]
    tokens += [tuple(random.integers(0, size, BEAM_SIZE).tolist()) for _ in range(steps)]
    parents = [tuple(random.integers(0, BEAM_SIZE, BEAM_SIZE).tolist()) for _ in range(steps + 1)]
    return Traced(sentence.source, tuple(tokens), tuple(parents))


@torch.inference_mode()
def _expected(model: EncoderDecoder, traced: Traced) -> Steps:
    """What PyTorch says of each step: the sentence alone and every prefix from its start."""
    memory = model.encode(torch.tensor([traced.source]))
    prefixes: list[tuple[int, ...]] = [()] * traced.beam_size
    steps = []
    for tokens, parents in zip(traced.tokens, traced.parents, strict=True):
        prefixes = [(*prefixes[parent], token) for token, parent in zip(tokens, parents, strict=True)]
        decoded = model.decode_states(torch.tensor(prefixes), memory)
        hidden = decoded.hidden[:, -1]  # (W, E')
        log_probs = model.output(hidden).log_softmax(dim=-1)
        attention = tuple(weights[:, :, -1].transpose(0, 1).numpy() for weights in decoded.attention)
        steps.append(RowScores(log_probs.numpy(), None, hidden.numpy(), attention))
    return steps


def _log_probs(scores: RowScores) -> Sequence[Floats]:
    return [scores.log_probs]


def _unit_of(log_probs: Floats) -> float:
    """What differences of log-probabilities (or logits) are counted in: 1, or more if they spread widely.

    >>> _unit_of(np.array([-0.5, -8.0, -np.inf])), _unit_of(np.array([-0.5, -64.0]))
    (1.0, 4.0)
    """
    return max(1.0, float(np.abs(log_probs[np.isfinite(log_probs)]).max(initial=0.0)) / _SPREAD)


def _everything(scores: RowScores) -> Sequence[Floats]:
    return [scores.log_probs, scores.hidden, *scores.attention]


def _largest_difference(values: Values, found: Sequence[Steps], expected: Sequence[Steps]) -> float:
    largest = [
        differences(a, b).max() / (_unit_of(b) if values is _log_probs else 1.0)
        for found_steps, expected_steps in zip(found, expected, strict=True)
        for ours, theirs in zip(found_steps, expected_steps, strict=True)
        for a, b in zip(values(ours), values(theirs), strict=True)
    ]
    return float(np.max(largest))
