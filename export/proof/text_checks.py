"""A proof's checks of whole translations: PyTorch's own texts, or hardly worse in a smaller precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from export.proof.checks import Check
from export.proof.graph_model import GraphModel, GraphScorer, padded_size
from export.proof.sentences import Sentence
from export.proof.step_checks import BEAM_SIZE, log_prob_distance
from model.evaluation.quality import evaluate
from model.networks.encoder_decoder import EncoderDecoder
from model.searches.beam_search import Scorer, SearchResult, beam_search, greedy_search
from model.searches.first_token import beginning_with
from model.text.tokenizer import Tokenizer

_TEXT_PAIRS = 120


def text_checks(model: EncoderDecoder, graphs: GraphModel, sentences: Sequence[Sentence]) -> list[Check]:
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
    model: EncoderDecoder,
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
    same = sum(a.token_ids == b.token_ids for a, b in zip(ours, theirs, strict=True))
    figures = {
        "bleu": bleu,
        "fp32_bleu": fp32_bleu,
        "identical_translations_ratio": same / len(sentences),
        **log_prob_distance(model, graphs, sentences),
    }
    what = f"BLEU lost against PyTorch fp32 on {len(sentences)} sentences, greedy"
    return [Check(name="bleu_loss", what=what, measured=fp32_bleu - bleu, limit=max_bleu_loss)], figures


def _over(graphs: GraphModel, beam_size: int) -> Callable[[Sentence], Scorer]:
    return lambda s: GraphScorer(graphs, beam_size, padded_size(max(len(s.source), s.max_target_tokens)))


def translate(
    scorer_for: Callable[[Sentence], Scorer], sentences: Sequence[Sentence], beam_size: int
) -> list[SearchResult]:
    """The best hypothesis of each sentence by the slow searches of the model."""
    found = []
    for sentence in sentences:
        scorer = beginning_with(scorer_for(sentence), sentence.first_token)
        limit = sentence.max_target_tokens
        if beam_size == 1:
            found.append(greedy_search(scorer, list(sentence.source), limit))
        else:
            found.append(beam_search(scorer, list(sentence.source), beam_size, limit)[0])
    return found
