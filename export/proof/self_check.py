"""Finds the translations that a server repeats when it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from export.contract.manifest import SelfCheck
from export.graphs.to_onnx import ExportError
from export.proof.graph_model import GraphModel, GraphScorer
from export.proof.sentences import CAPACITY, Sentence
from export.proof.shortlist_model import ShortlistScorer
from export.proof.step_checks import BEAM_SIZE
from model.searches.beam_search import Scorer, beam_search, greedy_search
from model.shortlist.shortlist import Shortlist

_MAX_TRIED = 50
ScorerOfWidth = Callable[[int], Scorer]


def find_self_check(
    graphs: GraphModel, sentences: Sequence[Sentence], shortlist: Shortlist | None
) -> SelfCheck:
    """The translations of a sentence, of one that a shortlist leaves as they are.

    Raises:
        ExportError: the shortlist changes the translations of all that were tried.
    """

    def whole(width: int) -> Scorer:
        return GraphScorer(graphs, width, CAPACITY)

    if shortlist is None:
        return _translated(whole, sentences[0])
    for sentence in sentences[:_MAX_TRIED]:
        found = _translated(whole, sentence)
        if found == _translated(lambda width: ShortlistScorer(graphs, width, CAPACITY, shortlist), sentence):
            return found
    raise ExportError(f"the shortlist changes the translation of each of {_MAX_TRIED} sentences")


def _translated(scorer: ScorerOfWidth, sentence: Sentence) -> SelfCheck:
    source, limit = list(sentence.source), sentence.max_target_tokens
    greedy = greedy_search(scorer(1), source, limit)
    beam = beam_search(scorer(BEAM_SIZE), source, BEAM_SIZE, limit)
    return SelfCheck(
        source=sentence.source,
        max_target_tokens=limit,
        greedy=greedy.token_ids,
        beam_size=BEAM_SIZE,
        beam=beam[0].token_ids,
    )
