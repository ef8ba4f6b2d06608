"""The proof that an artifact translates as its PyTorch model does; one that fails it is never written.

Each check names what it rules out. All of them run, so that a refusal lists every fault, the most
specific first: a wrong mask also spoils the texts, and the mask is what one wants to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from export.graph_model import GraphModel, GraphScorer, padded_size
from export.trace import Layout, LogProbs, Traced, trace
from model.evaluation import evaluate
from model.search import Hypothesis, Scorer, beam_search, greedy_search
from model.tokenizer import START_ID, Tokenizer
from model.transformer import Transformer

MIN_PAIRS = 100
LOG_PROB_LIMIT = 1e-4  # natural logarithm, absolute
BEAM_SIZE = 4
_NUM_TRACED = 12
_NUM_BEAM_STEPS = 8
_TEXT_PAIRS = 120
_CAPACITY = 256


class ProofError(RuntimeError):
    """The proof refuses an artifact; the message lists every check that failed."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was shown, or not.

    Args:
        name: What a failure means is wrong.
        what: What was measured, with its unit.
        measured: The value seen.
        limit: It passes up to and including this.
    """

    name: str
    what: str
    measured: float
    limit: float

    @property
    def passed(self) -> bool:
        """NaN never passes."""
        return self.measured <= self.limit


@dataclass(frozen=True)
class Sentence:
    """A source, what it was translated to by a person, and how long its translation may get."""

    source: tuple[int, ...]
    reference: str

    @property
    def max_target_tokens(self) -> int:
        """Room enough for a real translation, and an end for one that loops."""
        return min(2 * len(self.source) + 10, _CAPACITY)


def prepare(pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer) -> list[Sentence]:
    """Every pair as two sentences, one a direction; columns stand in the order of the tokenizer's languages.

    Raises:
        ProofError: too few pairs, or a sentence too long for the proof.
    """
    if len(pairs) < MIN_PAIRS:
        raise ProofError(f"{len(pairs)} sentence pairs, the proof needs at least {MIN_PAIRS}")
    if len(tokenizer.languages) != 2:
        raise ProofError(f"the model has languages {', '.join(tokenizer.languages)}, the proof takes 2")
    first, second = tokenizer.languages
    sentences = []
    for a, b in pairs:
        sentences.append(Sentence(tuple(tokenizer.encode_source(a, second)), b))
        sentences.append(Sentence(tuple(tokenizer.encode_source(b, first)), a))
    if (longest := max(len(s.source) for s in sentences)) > _CAPACITY:
        raise ProofError(f"a sentence has {longest} tokens, the proof takes at most {_CAPACITY}")
    return sentences


def log_prob_checks(model: Transformer, graphs: GraphModel, sentences: Sequence[Sentence]) -> list[Check]:
    """Hold fp32 graphs against PyTorch step by step.

    The first check hides nothing, each of the next adds one thing that must not matter, so that the
    first failure names the fault.
    """
    chosen = _spread_by_length(sentences, _NUM_TRACED)
    greedy = [_greedy_traced(model, s) for s in chosen]
    beams = [_beam_traced(s, seed, model.config.vocabulary_size) for seed, s in enumerate(chosen)]
    expected_greedy = [_expected(model, traced) for traced in greedy]
    expected_beams = [_expected(model, traced) for traced in beams]
    what = "largest absolute difference of a log-probability to PyTorch, "
    layouts = (
        (
            "positions",
            "one sequence alone, nothing to mask",
            Layout(rows=1, exact_source=True, exact_target=True),
        ),
        (
            "causal_mask",
            "one sequence alone, later target columns filled with noise",
            Layout(rows=1, exact_source=True, noise=True),
        ),
        (
            "source_mask",
            "one sequence alone, source padding and the positions behind it filled with noise too",
            Layout(rows=1, noise=True),
        ),
        (
            "cache_rows",
            "sequences of mixed lengths joining and leaving the rows, noise behind every mask",
            Layout(rows=4, padded_together=True, noise=True),
        ),
    )
    checks = [
        Check(
            name=name,
            what=what + condition,
            measured=_largest_difference(trace(graphs, greedy, layout), expected_greedy),
            limit=LOG_PROB_LIMIT,
        )
        for name, condition, layout in layouts
    ]
    measured = _largest_difference(
        trace(graphs, beams, Layout(rows=3, padded_together=True, noise=True)), expected_beams
    )
    beam = "hypotheses reordered at random, sequences joining and leaving, noise behind every mask"
    return [*checks, Check(name="beams", what=what + beam, measured=measured, limit=LOG_PROB_LIMIT)]


def neighbour_checks(model: Transformer, graphs: GraphModel, sentences: Sequence[Sentence]) -> list[Check]:
    """In any precision: what stands in other rows, or behind a mask, does not change one bit."""
    chosen = _spread_by_length(sentences, _NUM_TRACED)
    greedy = [_greedy_traced(model, s) for s in chosen]
    beams = [_beam_traced(s, seed, model.config.vocabulary_size) for seed, s in enumerate(chosen)]
    checks = []
    for name, sequences in (("neighbours", greedy), ("neighbours_in_beams", beams)):
        alone = [trace(graphs, [traced], Layout(rows=2))[0] for traced in sequences]
        together = trace(graphs, sequences, Layout(rows=5, noise=True))
        checks.append(
            Check(
                name=name,
                what="largest absolute difference of a log-probability, "
                "alone and among others with noise behind every mask",
                measured=_largest_difference(together, alone),
                limit=0.0,
            )
        )
    return checks


def text_checks(model: Transformer, graphs: GraphModel, sentences: Sequence[Sentence]) -> list[Check]:
    """The same searches over PyTorch and over the graphs find the same texts."""
    checks = []
    some = sentences[: 2 * _TEXT_PAIRS]
    for name, beam_size in (("greedy_text", 1), ("beam_text", BEAM_SIZE)):
        ours = translate(_over(graphs, beam_size), some, beam_size)
        theirs = translate(lambda _: model, some, beam_size)
        different = sum(a.token_ids != b.token_ids for a, b in zip(ours, theirs, strict=True))
        what = f"translations of {len(some)} sentences whose tokens differ, beam size {beam_size}"
        checks.append(Check(name=name, what=what, measured=different, limit=0))
    return checks


def quality_checks(
    model: Transformer,
    tokenizer: Tokenizer,
    graphs: GraphModel,
    sentences: Sequence[Sentence],
    max_bleu_loss: float,
) -> tuple[list[Check], dict[str, float]]:
    """How far a smaller precision is from PyTorch fp32: a limit on BLEU, and figures beside it."""
    ours = translate(_over(graphs, 1), sentences, 1)
    theirs = translate(lambda _: model, sentences, 1)
    references = [s.reference for s in sentences]
    bleu, fp32_bleu = (
        evaluate([tokenizer.detokenize(h.token_ids) for h in found], references).bleu
        for found in (ours, theirs)
    )
    chosen = _spread_by_length(sentences, _NUM_TRACED)
    traced = [_greedy_traced(model, s) for s in chosen]
    differences = [
        np.abs(ours_step - theirs_step)
        for ours_steps, theirs_steps in zip(
            trace(graphs, traced, Layout(rows=4)), [_expected(model, t) for t in traced], strict=True
        )
        for ours_step, theirs_step in zip(ours_steps, theirs_steps, strict=True)
    ]
    same = sum(a.token_ids == b.token_ids for a, b in zip(ours, theirs, strict=True))
    figures = {
        "bleu": bleu,
        "fp32_bleu": fp32_bleu,
        "identical_translations_ratio": same / len(sentences),
        "log_prob_difference_mean": float(np.mean([d.mean() for d in differences])),
        "log_prob_difference_max": float(max(d.max() for d in differences)),
    }
    what = f"BLEU lost against PyTorch fp32 on {len(sentences)} sentences, greedy"
    return [Check(name="bleu_loss", what=what, measured=fp32_bleu - bleu, limit=max_bleu_loss)], figures


def _over(graphs: GraphModel, beam_size: int) -> Callable[[Sentence], Scorer]:
    return lambda s: GraphScorer(graphs, beam_size, padded_size(max(len(s.source), s.max_target_tokens)))


def translate(
    scorer_for: Callable[[Sentence], Scorer], sentences: Sequence[Sentence], beam_size: int
) -> list[Hypothesis]:
    """The best hypothesis of each sentence by the slow searches of the model."""
    found = []
    for sentence in sentences:
        scorer, limit = scorer_for(sentence), sentence.max_target_tokens
        if beam_size == 1:
            found.append(greedy_search(scorer, list(sentence.source), limit))
        else:
            found.append(beam_search(scorer, list(sentence.source), beam_size, limit)[0])
    return found


def require(checks: Sequence[Check]) -> None:
    """Refuse if any check failed.

    Raises:
        ProofError: names each failed check with the value and the limit.
    """
    failed = [c for c in checks if not c.passed]
    if failed:
        lines = [f"{c.name}: {c.measured:.6g}, limit {c.limit:.6g} ({c.what})" for c in failed]
        raise ProofError("the proof refuses this artifact: " + "; ".join(lines))


def _spread_by_length(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """Some sentences of evenly spread lengths, long and short mixed."""
    ordered = sorted(sentences, key=lambda s: len(s.source))
    chosen = [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).astype(int)]
    return [chosen[i] for i in np.random.default_rng(0).permutation(count)]


def _greedy_traced(model: Transformer, sentence: Sentence) -> Traced:
    found = greedy_search(model, list(sentence.source), min(sentence.max_target_tokens, 32))
    fed = (START_ID, *found.token_ids[:-1])
    return Traced(sentence.source, tuple((t,) for t in fed), tuple((0,) for _ in fed))


def _beam_traced(sentence: Sentence, seed: int, vocabulary_size: int) -> Traced:
    random = np.random.default_rng(seed)
    steps = _NUM_BEAM_STEPS - seed % 3
    tokens = [(START_ID,) * BEAM_SIZE]
    tokens += [tuple(random.integers(0, vocabulary_size, BEAM_SIZE).tolist()) for _ in range(steps)]
    parents = [tuple(random.integers(0, BEAM_SIZE, BEAM_SIZE).tolist()) for _ in range(steps + 1)]
    return Traced(sentence.source, tuple(tokens), tuple(parents))


@torch.inference_mode()
def _expected(model: Transformer, traced: Traced) -> list[LogProbs]:
    """PyTorch's log-probabilities (W, V) of each step: the sentence alone and every prefix from its start."""
    memory = model.encode(torch.tensor([traced.source]))
    prefixes: list[tuple[int, ...]] = [()] * traced.beam_size
    steps = []
    for tokens, parents in zip(traced.tokens, traced.parents, strict=True):
        prefixes = [(*prefixes[parent], token) for token, parent in zip(tokens, parents, strict=True)]
        steps.append(model.decode_step(torch.tensor(prefixes), memory).numpy())
    return steps


def _largest_difference(found: Sequence[Sequence[LogProbs]], expected: Sequence[Sequence[LogProbs]]) -> float:
    differences = [
        np.abs(a - b).max()
        for found_steps, expected_steps in zip(found, expected, strict=True)
        for a, b in zip(found_steps, expected_steps, strict=True)
    ]
    return float(np.max(differences))
