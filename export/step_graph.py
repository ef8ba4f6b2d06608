"""What the two graphs of every architecture have in common: they work on pools of rows, one for each slot.

An encoder graph writes what the decoder needs of new sources into their rows; a decoder step advances rows
[0, n) by one target token, each at its own position. Both share the weights of their model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.contract import SOURCE_AXIS, Pools
from model.encoder_decoder import EncoderDecoder


def is_beyond(length: Tensor, size: int) -> Tensor:
    """(n, size), True at and after each row's length (n)."""
    return torch.arange(size, device=length.device) >= length[:, None]


class EncoderGraph(nn.Module, ABC):
    """Encode new sources and write what the decoder needs of them into their rows.

    Args:
        pools: Of the model.
    """

    def __init__(self, pools: Pools) -> None:
        super().__init__()
        self.pools = pools

    def forward(
        self, source: Tensor, source_length: Tensor, slot: Tensor, *memory: Tensor
    ) -> tuple[Tensor, ...]:
        """Write sources into the memory pools.

        Args:
            source: Padded ids (b, s).
            source_length: (b), tokens of each source.
            slot: (b), the row that each source takes.
            memory: The memory pools; rows hold C source positions, C >= s.

        Returns:
            The pools with rows `slot` replaced; their source positions from s on are zero.
        """
        updates = self.encode(source, source_length)
        return tuple(
            pool.index_put((slot,), _grown(update, pool, spec.shape.index(SOURCE_AXIS)))
            if SOURCE_AXIS in spec.shape
            else pool.index_put((slot,), update)
            for spec, pool, update in zip(self.pools.memory, memory, updates, strict=True)
        )

    @abstractmethod
    def encode(self, source: Tensor, source_length: Tensor) -> Sequence[Tensor]:
        """One tensor for each memory pool, b rows of s source positions."""


def _grown(update: Tensor, pool: Tensor, axis: int) -> Tensor:
    """Zeros behind the source positions, as many as the pool has."""
    after = pool.shape[axis] - update.shape[axis]
    return functional.pad(update, [0, 0] * (update.dim() - 1 - axis) + [0, after])


@dataclass(frozen=True)
class StepInputs:
    """What a decoder step is told of n rows of W hypotheses.

    Args:
        token: (n, W), each hypothesis' last token.
        position: (n), each row's t, from 0.
        source_length: (n), at least 1.
        is_ancestor: (n, W, M) for beams over caches: which columns each hypothesis descends from, its
            own included.
        parent: (n, W) for beams over states: which hypothesis of the step before each goes on from.
    """

    token: Tensor
    position: Tensor
    source_length: Tensor
    is_ancestor: Tensor | None
    parent: Tensor | None


@dataclass(frozen=True)
class StepOutputs:
    """What an architecture makes of it.

    Args:
        hidden: (n, W, E'), what the output layer reads.
        attention: For each decoder layer the weights over the source (n, H, W, C).
        caches, states: The pools with this step written.
    """

    hidden: Tensor
    attention: Sequence[Tensor]
    caches: Sequence[Tensor] = ()
    states: Sequence[Tensor] = ()


class DecoderStepGraph(nn.Module, ABC):
    """One decoder step for n sequences of W hypotheses each.

    Args:
        model: Gives the output layer.
        pools: Of the model.
        num_candidates_per_beam: For beam search, this times W of the best next tokens are
            returned for each hypothesis; 0 for greedy search, where W is 1.
    """

    def __init__(self, model: EncoderDecoder, pools: Pools, num_candidates_per_beam: int) -> None:
        super().__init__()
        self.output = model.output
        self.pools = pools
        self.num_candidates_per_beam = num_candidates_per_beam

    def forward(
        self, token: Tensor, position: Tensor, source_length: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        """Score the token after each hypothesis.

        Args:
            token, position, source_length: See `StepInputs`.
            rest: For beam search `is_ancestor` if there are caches, then `parent` if there are states;
                then caches, states and memory.

        Returns:
            log_probs (n, W, V) fp32; for beam search the best of them and their ids (n, W, 2W); hidden
            (n, W, E'); the attention of each layer (n, H, W, C); caches and states as they are now.
        """
        values = iter(rest)
        is_beam = self.num_candidates_per_beam > 0
        inputs = StepInputs(
            token,
            position,
            source_length,
            is_ancestor=next(values) if is_beam and self.pools.caches else None,
            parent=next(values) if is_beam and self.pools.states else None,
        )
        caches = _take(values, self.pools.caches)
        states = _take(values, self.pools.states)
        step = self.step(inputs, caches, states, list(values))
        log_probs = self.output(step.hidden).float().log_softmax(dim=-1)  # (n, W, V)
        best = log_probs.topk(self.num_candidates_per_beam * token.shape[1]) if is_beam else ()
        return (log_probs, *best, step.hidden, *step.attention, *step.caches, *step.states)

    @abstractmethod
    def step(
        self, inputs: StepInputs, caches: list[Tensor], states: list[Tensor], memory: list[Tensor]
    ) -> StepOutputs:
        """Advance by one token."""


def _take(values: Iterable[Tensor], specs: Sequence[object]) -> list[Tensor]:
    return list(islice(values, len(specs)))
