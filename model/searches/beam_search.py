"""Greedy and beam search for one sentence, slow and obvious: the oracle for the server's search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from model.networks.encoder_decoder import EncoderDecoder
from model.scoring.length_penalty import length_penalty
from model.text.special_ids import SpecialIds


class Scorer(Protocol):
    """What a search needs of a model; `encode` returns whatever `decode_step` wants back."""

    @property
    def special_ids(self) -> SpecialIds:
        """What a target starts and ends with."""

    def encode(self, source: Tensor) -> Any:
        """Read sources (1, S), without padding."""

    def decode_step(self, prefix: Tensor, memory: Any) -> Tensor:
        """Prefixes (K, t), the start id first, to log-probabilities (K, V) of the next token."""


class HiddenScorer(Protocol):
    """What contrastive search needs of a model."""

    @property
    def special_ids(self) -> SpecialIds:
        """What a target starts and ends with."""

    def encode(self, source: Tensor) -> Any:
        """Read sources (1, S), without padding."""

    def decode_step_with_hidden(self, prefix: Tensor, memory: Any) -> tuple[Tensor, Tensor]:
        """Log-probabilities (K, V) after prefixes (K, t), and the decoder's state (K, E) at their ends."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """A finished target of one of the slow searches.

    Args:
        token_ids: Without the start id; the end id is the last one unless the length limit cut in.
        log_prob: Sum over the tokens.
        score: log_prob / length_penalty.
    """

    token_ids: tuple[int, ...]
    log_prob: float
    score: float


def finish(token_ids: tuple[int, ...], log_prob: float, alpha: float) -> SearchResult:
    """A target that ended or was cut, and its score."""
    score = log_prob / length_penalty(len(token_ids), alpha)
    return SearchResult(token_ids=token_ids, log_prob=log_prob, score=score)


@torch.inference_mode()
def greedy_search(
    model: Scorer, source: list[int], max_target_tokens: int, alpha: float = 1.0
) -> SearchResult:
    """Take the most probable next token until the end id or the limit.

    Args:
        source: Ids of one sentence, tag and end id included.
        max_target_tokens: Limit on target tokens, end id included.
        alpha: Length penalty of the reported score; it does not change the text.
    """
    start, end = model.special_ids.start, model.special_ids.end
    memory = model.encode(torch.tensor([source]))
    tokens: tuple[int, ...] = ()
    total = 0.0
    while len(tokens) < max_target_tokens:
        log_probs = model.decode_step(torch.tensor([(start, *tokens)]), memory)[0]  # (V)
        best = int(log_probs.argmax())
        tokens, total = (*tokens, best), total + float(log_probs[best])
        if best == end:
            break
    return finish(tokens, total, alpha)


@torch.inference_mode()
def beam_search(
    model: Scorer, source: list[int], beam_size: int, max_target_tokens: int, alpha: float = 1.0
) -> list[SearchResult]:
    """Keep the beam_size best prefixes at each step.

    Each step ranks the 2K best continuations of all live prefixes by log-probability. One that ends
    is finished if it is among the first K and forgotten otherwise; the first K that do not end live on.
    The search is over when K hypotheses are finished, or at the limit, where the live ones count as
    finished too.

    Returns:
        At most beam_size hypotheses, best score first; of equal ones the earlier finished first.
    """
    start, end = model.special_ids.start, model.special_ids.end
    memory = model.encode(torch.tensor([source]))
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[SearchResult] = []
    for _ in range(max_target_tokens):
        prefixes = torch.tensor([(start, *tokens) for tokens, _ in live])
        log_probs = model.decode_step(prefixes, memory)  # (K, V)
        candidates = _best_continuations(live, log_probs, 2 * beam_size)
        for rank, (tokens, total) in enumerate(candidates):
            if tokens[-1] == end and rank < beam_size:
                finished.append(finish(tokens, total, alpha))
        live = [c for c in candidates if c[0][-1] != end][:beam_size]
        if len(finished) >= beam_size or not live:
            break
    else:
        finished += [finish(tokens, total, alpha) for tokens, total in live]
    return sorted(finished, key=lambda hypothesis: -hypothesis.score)[:beam_size]


def _best_continuations(
    live: list[tuple[tuple[int, ...], float]], log_probs: Tensor, count: int
) -> list[tuple[tuple[int, ...], float]]:
    """As many as are asked for, or as are possible at all."""
    totals = torch.tensor([[total] for _, total in live], dtype=torch.float64) + log_probs.double()  # (K, V)
    best, index = totals.flatten().topk(min(count, totals.numel()))
    vocabulary_size = log_probs.shape[1]
    return [
        ((*live[int(i) // vocabulary_size][0], int(i) % vocabulary_size), float(total))
        for total, i in zip(best, index, strict=True)
        if total > -torch.inf
    ]


@torch.inference_mode()
def greedy_search_batch(
    model: EncoderDecoder,
    source: Tensor,
    source_is_padding: Tensor,
    max_target_tokens: int,
    first_token: int | None = None,
) -> list[list[int]]:
    """Greedy targets of a padded batch (B, S), for dev scores during training; the end id left out.

    Args:
        first_token: That every target begins with.
    """
    start, end = model.special_ids.start, model.special_ids.end
    memory = model.encode(source, source_is_padding)
    opening = [start] if first_token is None else [start, first_token]
    prefix = torch.tensor(opening, device=source.device).repeat(len(source), 1)
    is_finished = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_target_tokens):
        best = model.decode_step(prefix, memory, source_is_padding).argmax(dim=-1)  # (B)
        prefix = torch.cat((prefix, best[:, None]), dim=1)
        is_finished |= best == end
        if bool(is_finished.all()):
            break
    rows: list[list[int]] = prefix[:, 1:].tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]
