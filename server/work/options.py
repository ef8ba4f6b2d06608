"""How to search for the translations of a call's texts: what each of its jobs carries to the engine."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from model.scoring.length_penalty import PenaltyKind
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT, TargetLimit
from server.engine.constraints import Constraints
from server.engine.sequence import AttentionChoice, Method, Sampling, SequenceRequest

_SEED_BITS = 64


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How to search, with every default filled in but those that depend on a text: its limit and its seed.

    Args:
        method: Which search, and its parameters.
        length_penalty: Alpha.
        penalty_kind: Of the model, see `length_penalty`.
        max_target_tokens: Limit on each hypothesis, end of sentence included.
        is_limit_by_source: Whether a short source has a lower limit, that of `limit_by_source`.
        limit_by_source: Of the model.
        num_hypotheses: How many to return, the best first.
        attention: What attention to return with each hypothesis; None for none.
        with_scores: False saves greedy search the log-probabilities.
        first_token: What every translation begins with; None where it begins as it likes.
        constraints: What no hypothesis may be; None for none.
        is_seeded: False if each text that is sampled shall get a seed of its own.
    """

    method: Method
    length_penalty: float
    max_target_tokens: int
    is_limit_by_source: bool = False
    limit_by_source: TargetLimit = DEFAULT_TARGET_LIMIT
    num_hypotheses: int = 1
    attention: AttentionChoice | None = None
    with_scores: bool = True
    is_seeded: bool = True
    penalty_kind: PenaltyKind = "wu"
    first_token: int | None = None
    constraints: Constraints | None = None

    def seeded(self) -> SearchOptions:
        """The options of one text: with a random seed, where its search draws and none was asked for."""
        if self.is_seeded or not isinstance(self.method, Sampling):
            return self
        method = replace(self.method, seed=secrets.randbits(_SEED_BITS))
        return replace(self, method=method, is_seeded=True)

    def beginning_with(self, prefix: tuple[int, ...]) -> SearchOptions:
        """The options of a text whose translation begins with these tokens."""
        return replace(self, constraints=replace(self.constraints or Constraints(), prefix=prefix))

    def target_limit(self, num_source_tokens: int) -> int:
        """The most tokens that a translation of such a source may have, end of sentence included."""
        if not self.is_limit_by_source:
            return self.max_target_tokens
        limit = self.limit_by_source.tokens(num_source_tokens)
        if self.constraints is not None:
            limit = max(limit + len(self.constraints.prefix), self.constraints.min_target_tokens)
        return min(limit, self.max_target_tokens)

    def request(self, sequence_id: int, source: Sequence[int]) -> SequenceRequest:
        """What the engine is asked for one source."""
        return SequenceRequest(
            sequence_id=sequence_id,
            source=tuple(source),
            method=self.method,
            length_penalty=self.length_penalty,
            max_target_tokens=self.target_limit(len(source)),
            attention=self.attention,
            with_scores=self.with_scores,
            penalty_kind=self.penalty_kind,
            first_token=self.first_token,
            constraints=self.constraints,
        )
