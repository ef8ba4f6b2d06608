"""Sampling for one sentence, slow and obvious: the oracle for the server's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from model.searches.beam_search import Scorer, SearchResult, finish


@torch.inference_mode()
def sample(
    model: Scorer,
    source: list[int],
    max_target_tokens: int,
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    alpha: float = 1.0,
) -> SearchResult:
    """Draw each token at random until the end id or the limit.

    Args:
        source: Ids of one sentence, tag and end id included.
        max_target_tokens: Limit on target tokens, end id included.
        temperature, top_k, top_p: See `next_token_probabilities`.
        seed: Of NumPy's PCG64, which gives one number in [0, 1) for each token.
        alpha: Length penalty of the reported score; it does not change the text.

    Returns:
        The target; its log_prob sums what the model gave the tokens, before any filter.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    start, end = model.special_ids.start, model.special_ids.end
    memory = model.encode(torch.tensor([source]))
    tokens: tuple[int, ...] = ()
    total = 0.0
    while len(tokens) < max_target_tokens:
        log_probs = model.decode_step(torch.tensor([(start, *tokens)]), memory)[0]  # (V)
        probabilities = next_token_probabilities(log_probs, temperature, top_k, top_p)
        token = invert(probabilities, random.random())
        tokens, total = (*tokens, token), total + float(log_probs[token])
        if token == end:
            break
    return finish(tokens, total, alpha)


def next_token_probabilities(
    log_probs: Tensor, temperature: float, top_k: int, top_p: float
) -> dict[int, float]:
    """What a token is drawn from: ids and probabilities, the most probable first, of equal ones the lower id.

    Args:
        log_probs: (V).
        temperature: Divides them.
        top_k: Then keep so many; 0 keeps all. Source: Fan et al. 2018, arXiv:1805.04833.
        top_p: Of those keep the smallest set of the most probable whose probability, the kept ones'
            sum being 1, reaches this; 1 keeps all. Source: Holtzman et al. 2020, arXiv:1904.09751.
    """
    ranked, ids = (log_probs.double() / temperature).sort(descending=True, stable=True)
    if top_k > 0:
        ranked, ids = ranked[:top_k], ids[:top_k]
    probabilities: list[float] = ranked.softmax(dim=0).tolist()
    kept: list[float] = []
    total = 0.0
    for probability in probabilities:
        kept.append(probability)
        total += probability
        if top_p < 1 and total >= top_p:
            break
    return {int(i): p / total for i, p in zip(ids, kept, strict=False)}


def invert(probabilities: dict[int, float], uniform: float) -> int:
    """The token at which the cumulated probability, by id, passes `uniform`, in [0, 1).

    >>> invert({9: 0.25, 4: 0.75}, 0.8)
    9
    """
    cumulated = 0.0
    for token, probability in sorted(probabilities.items()):
        cumulated += probability
        if uniform < cumulated:
            return token
    return max(probabilities)  # rounding left the sum just under 1
