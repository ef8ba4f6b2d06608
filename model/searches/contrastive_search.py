"""Contrastive search for one sentence, slow and obvious: the oracle for the server's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from model.searches.beam_search import HiddenScorer, SearchResult, finish


@torch.inference_mode()
def contrastive_search(
    model: HiddenScorer,
    source: list[int],
    top_k: int,
    penalty_alpha: float,
    max_target_tokens: int,
    alpha: float = 1.0,
) -> SearchResult:
    """Take the probable next token that resembles the target so far least, until the end id or the limit.

    Of the top_k most probable tokens v after x_<t the one is taken with the highest

        (1 - penalty_alpha) · p(v | x_<t) - penalty_alpha · max_j cos(h_v, h_j),

    of equal ones the more probable. h_v is the decoder's last hidden state at v when it is the input,
    h_j those at every token of the prefix, start id included.

    Args:
        source: Ids of one sentence, tag and end id included.
        max_target_tokens: Limit on target tokens, end id included; the model must run one token more.
        alpha: Length penalty of the reported score; it does not change the text.

    Source: Su et al. 2022, arXiv:2202.06417, equation 5.
    """
    start, end = model.special_ids.start, model.special_ids.end
    memory = model.encode(torch.tensor([source]))
    prefix: tuple[int, ...] = (start,)
    total = 0.0
    log_probs, hidden = model.decode_step_with_hidden(torch.tensor([prefix]), memory)  # (1, V), (1, E)
    history = hidden  # (t, E)
    next_log_probs = log_probs[0]  # (V)
    while len(prefix) <= max_target_tokens and prefix[-1] != end:
        best, candidates = next_log_probs.topk(top_k)
        is_possible = best > -torch.inf
        best, candidates = best[is_possible], candidates[is_possible]
        prefixes = torch.tensor([(*prefix, int(v)) for v in candidates])  # (K, t + 1)
        log_probs, hidden = model.decode_step_with_hidden(prefixes, memory)
        chosen = int(_scores(best, hidden, history, penalty_alpha).argmax())
        prefix, total = (*prefix, int(candidates[chosen])), total + float(best[chosen])
        history = torch.cat((history, hidden[chosen : chosen + 1]))
        next_log_probs = log_probs[chosen]
    return finish(prefix[1:], total, alpha)


def _scores(log_probs: Tensor, hidden: Tensor, history: Tensor, penalty_alpha: float) -> Tensor:
    """Of K candidates with log_probs (K) and hidden (K, E), after a prefix of hidden states (t, E)."""
    similarity = cosine_similarity(hidden.double()[:, None], history.double()[None], dim=-1)  # (K, t)
    return (1 - penalty_alpha) * log_probs.double().exp() - penalty_alpha * similarity.amax(dim=1)
