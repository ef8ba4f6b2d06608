"""Sampling for one sequence: each token is drawn from the model's probabilities, filtered as asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from server.engine.searches.search import Continuation, Ending, StepOutputs, not_a_number
from server.engine.searches.target import Target
from server.engine.sequence import Sampling, SequenceRequest


class SamplingSearch:
    """Draws one hypothesis; model/searches/sampling.py tells the same rules the slow way.

    Each sequence owns its random numbers, one for each token: a seed gives the same text alone and
    in any batch. The hypothesis' log_prob sums what the model gave its tokens, before temperature,
    top_k and top_p: it compares with that of any other method.
    """

    extra_outputs = frozenset((GraphName.LOG_PROBS,))

    def __init__(self, request: SequenceRequest, method: Sampling, end_id: int) -> None:
        self._method = method
        self._target = Target(request, end_id)
        self._random = np.random.Generator(np.random.PCG64(method.seed))

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Draw the next token, see `Search.advance`."""
        assert step.log_probs is not None, "asked for"
        log_probs = step.log_probs[row, 0]  # (V)
        token = draw(log_probs, self._method, self._random.random())
        self._target.add(token, float(log_probs[token]))
        return None if self._target.is_over else Continuation([0], [token])

    def endings(self) -> tuple[Ending, ...]:
        """The one hypothesis, of a search that is over."""
        return self._target.endings()


def draw(log_probs: NDArray[np.float32], method: Sampling, uniform: float) -> int:
    """Draw a token by inversion: the probabilities laid end to end by id, and where `uniform` falls.

    The logits are divided by the temperature; of the tokens then the top_k most probable stay, and of
    those the smallest set of the most probable whose share reaches top_p. Ordered by id, because two
    tokens of nearly equal probability would change places by a rounding.

    Args:
        log_probs: (V).
        uniform: In [0, 1).

    Raises:
        InferenceError: a log-probability is no number.

    Source: Fan et al. 2018, arXiv:1805.04833, section 5.3 (top_k); Holtzman et al. 2020,
        arXiv:1904.09751, sections 3.1 and 3.3 (top_p, temperature).
    """
    best = log_probs.max()
    if not np.isfinite(best):  # of numbers with a NaN among them the maximum is NaN
        raise not_a_number()
    with np.errstate(over="ignore"):  # at a temperature near 0 all but the best get probability 0
        weights = np.exp((log_probs.astype(np.float64) - best) / method.temperature)
    ids = np.arange(len(log_probs))
    if method.top_k or method.top_p < 1:
        ids = _filtered(log_probs, weights, method)
    cumulated = weights[ids].cumsum()
    index = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
    last = np.searchsorted(cumulated, cumulated[-1])  # those behind it have probability 0
    return int(ids[min(index, last)])  # rounding may give the sum itself


def _filtered(
    log_probs: NDArray[np.float32], weights: NDArray[np.float64], method: Sampling
) -> NDArray[np.int64]:
    """The ids that top_k and top_p leave, ascending."""
    ids = _best_first(log_probs, method.top_k or len(log_probs))
    if method.top_p < 1:
        cumulated = weights[ids].cumsum()
        ids = ids[: int(np.searchsorted(cumulated, method.top_p * cumulated[-1])) + 1]
    ids.sort()
    return ids


def _best_first(log_probs: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` best ids by falling log-probability, of equal ones the lower id first.

    As whole numbers, the bits of the log-probability above the id, they sort 9 times as fast as by a
    stable argsort. Bits order as numbers do from +0 on, so the sign goes.
    """
    ids = np.arange(len(log_probs))
    if count < len(log_probs):
        ids = np.flatnonzero(log_probs >= np.partition(log_probs, -count)[-count])  # and all equal ones
    surprise = np.maximum(0 - log_probs[ids], 0)
    key = (surprise.view(np.uint32).astype(np.int64) << 32) | ids
    key.sort()
    return key[:count] & 0xFFFFFFFF
