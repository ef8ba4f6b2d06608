"""A proof's checks of a vocabulary shortlist: its graphs give a decoder step's own logits.

What a shortlist costs in quality is measured beside them and has no limit: nobody is made to use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from export.contract.tensors import Pools
from export.proof.checks import Check, differences
from export.proof.graph_model import Array, Arrays, GraphModel, GraphScorer, StepScores, padded_size
from export.proof.sentences import Sentence, spread_by_length
from export.proof.shortlist_model import ShortlistGraphs, ShortlistScorer
from export.proof.step_checks import LIMIT, NUM_TRACED, beam_traced, greedy_traced
from export.proof.text_checks import translate
from export.proof.trace import Layout, trace
from model.evaluation.quality import evaluate
from model.networks.encoder_decoder import EncoderDecoder
from model.shortlist.shortlist import Shortlist
from model.text.special_ids import SpecialIds
from model.text.tokenizer import Tokenizer


def shortlist_checks(
    model: EncoderDecoder, folder: Path, pools: Pools, sentences: Sequence[Sentence], *, is_exact: bool
) -> list[Check]:
    """Logits of random tokens against those of the whole step, over traced steps.

    Args:
        folder: Of the graphs.
        pools: What a row holds.
        is_exact: Sums of integers: there may be no difference at all.
    """
    chosen = spread_by_length(sentences, NUM_TRACED)
    beams = [beam_traced(model, s, seed) for seed, s in enumerate(chosen)]
    compared = _Compared(folder, pools, model.special_ids)
    for sequences in ([greedy_traced(model, s) for s in chosen], beams):
        trace(compared, sequences, Layout(rows=5, noise=True))
    what = "largest absolute difference of a logit, "
    return [
        Check(
            name="shortlist_step",
            what="largest absolute difference of a hidden state, attention weight or pool, "
            "a step with and without its output layer",
            measured=compared.of_steps,
            limit=0.0,
        ),
        Check(
            name="shortlist",
            what=f"{what}some tokens' columns and the whole output layer",
            measured=compared.of_logits,
            limit=0.0 if is_exact else LIMIT,
        ),
        Check(
            name="shortlist_columns",
            what=f"{what}the same token among other columns, at another place",
            measured=compared.of_columns,
            limit=0.0,
        ),
    ]


class _Compared(ShortlistGraphs):
    """Steps as usual, and beside each the shortlist's graphs on the same inputs."""

    def __init__(self, folder: Path, pools: Pools, special_ids: SpecialIds) -> None:
        super().__init__(folder, pools, special_ids)
        self._memory = {spec.name for spec in pools.memory}  # not written, though it may be an output
        self.random = np.random.default_rng(3)
        self.of_steps = self.of_logits = self.of_columns = 0.0

    def step(
        self, token: Array, position: Array, source_length: Array, parent: NDArray[np.int64], pools: Arrays
    ) -> StepScores:
        feeds = self.feeds(token, position, source_length, parent, pools)
        whole = self.run(GraphName.DECODER_STEP, feeds)
        bare = self.hidden(feeds)
        written = [name for name in bare if name.removesuffix("_out") not in self._memory]
        self.of_steps = _largest([self.of_steps, *(differences(bare[n], whole[n]) for n in written)])
        size = whole["logits"].shape[-1]
        first, second = self._some(size), self._some(size)
        logits = [self.logits(bare["hidden"], tokens) for tokens in (first, second)]
        self.of_logits = _largest([self.of_logits, differences(logits[0], whole["logits"][..., first])])
        _, in_first, in_second = np.intersect1d(first, second, return_indices=True)
        same = differences(logits[0][..., in_first], logits[1][..., in_second])
        self.of_columns = _largest([self.of_columns, same])
        return super().step(token, position, source_length, parent, pools)

    def _some(self, size: int) -> NDArray[np.int64]:
        return self.random.permutation(size)[: self.random.integers(size // 4, size)]


def _largest(distances: Iterable[float | NDArray[np.floating]]) -> float:
    """NaN if there is one."""
    return float(np.max([np.max(distance, initial=0.0) for distance in distances]))


def shortlist_figures(
    tokenizer: Tokenizer, graphs: GraphModel, shortlist: Shortlist, sentences: Sequence[Sentence]
) -> dict[str, float]:
    """What a shortlist costs and leaves: BLEU with it and without, greedy, and how many candidates."""
    without = translate(lambda s: GraphScorer(graphs, 1, _capacity(s)), sentences, 1)
    shortlisted = translate(lambda s: ShortlistScorer(graphs, 1, _capacity(s), shortlist), sentences, 1)
    references = [s.reference for s in sentences]
    bleu, full_bleu = (
        evaluate([tokenizer.detokenize(h.token_ids) for h in found], references).bleu
        for found in (shortlisted, without)
    )
    same = sum(a.token_ids == b.token_ids for a, b in zip(shortlisted, without, strict=True))
    return {
        "bleu": bleu,
        "bleu_without": full_bleu,
        "identical_translations_ratio": same / len(sentences),
        "mean_candidates": float(np.mean([len(shortlist.candidates(s.source)) for s in sentences])),
        "vocabulary_size": shortlist.vocabulary_size,
    }


def _capacity(sentence: Sentence) -> int:
    return padded_size(max(len(sentence.source), sentence.max_target_tokens))
