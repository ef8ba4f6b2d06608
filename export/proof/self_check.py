"""Finds the translations that a server repeats when it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from export.contract.manifest import SelfCheck
from export.graphs.to_onnx import ExportError
from export.limits import Limits
from export.proof.graph_model import GraphModel, GraphScorer
from export.proof.sentences import CAPACITY, Sentence
from export.proof.shortlist_model import ShortlistScorer
from export.proof.step_checks import BEAM_SIZE
from model.searches.beam_search import Scorer, beam_search, greedy_search
from model.shortlist.shortlist import Shortlist

_MAX_TRIED = 50
ScorerOfWidth = Callable[[int], Scorer]


def find_self_check(
    graphs: GraphModel, sentences: Sequence[Sentence], shortlist: Shortlist | None, limits: Limits
) -> SelfCheck:
    """The translations of a sentence within the limits, of one that a shortlist leaves as they are.

    Raises:
        ExportError: the shortlist changes the translations of all that were tried, or all are too long.
    """
    fitting = [sentence for sentence in sentences if len(sentence.source) <= limits.max_source_tokens]
    if not fitting:
        raise ExportError(f"no sentence of the proof fits into max_source_tokens {limits.max_source_tokens}")

    def whole(width: int) -> Scorer:
        return GraphScorer(graphs, width, CAPACITY)

    if shortlist is None:
        return _translated(whole, fitting[0], limits)

    def listed(width: int) -> Scorer:
        return ShortlistScorer(graphs, width, CAPACITY, shortlist)

    for sentence in fitting[:_MAX_TRIED]:
        check = _translated(whole, sentence, limits)
        if check == _translated(listed, sentence, limits):
            return check
    raise ExportError(f"the shortlist changes the translation of each of {_MAX_TRIED} sentences")


def _translated(scorer: ScorerOfWidth, sentence: Sentence, limits: Limits) -> SelfCheck:
    source = list(sentence.source)
    limit = min(sentence.max_target_tokens, limits.max_target_tokens)
    greedy = greedy_search(scorer(1), source, limit)
    beam = beam_search(scorer(BEAM_SIZE), source, BEAM_SIZE, limit)
    return SelfCheck(
        source=sentence.source,
        max_target_tokens=limit,
        greedy=greedy.token_ids,
        beam_size=BEAM_SIZE,
        beam=beam[0].token_ids,
    )
