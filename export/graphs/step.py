"""What the two graphs of every architecture have in common: they work on pools of rows, one for each slot.

An encoder graph writes what the decoder needs of new sources into their rows; a decoder step advances rows
[0, n) by one target token, each at its own position and with W hypotheses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from export.contract.field_types import Axis
from export.contract.tensors import SOURCE_AXIS, Pools
from model.networks.encoder_decoder import EncoderDecoder

CANDIDATES_PER_BEAM = 2  # at most W of the best 2W continuations end a hypothesis


def is_beyond(length: Tensor, size: int) -> Tensor:
    """(n, size), True at and after each row's length (n).

    >>> is_beyond(torch.tensor([1, 3]), 3).tolist()
    [[False, True, True], [False, False, False]]
    """
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
            The pools with rows `slot` replaced, as far as the s source positions.
        """
        updates = self.encode(source, source_length)
        return tuple(
            pool.index_put(_place(slot, update, spec.shape), update)
            for spec, pool, update in zip(self.pools.memory, memory, updates, strict=True)
        )

    @abstractmethod
    def encode(self, source: Tensor, source_length: Tensor) -> Sequence[Tensor]:
        """One tensor for each memory pool, b rows of s source positions."""


def _place(slot: Tensor, update: Tensor, shape: tuple[Axis, ...]) -> tuple[Tensor, ...]:
    """Indices of rows (b), and where there are source positions of all in them but the last axis.

    A device moves what one index names in one thread: so it is little.
    """
    num_axes = len(shape) - 1 if SOURCE_AXIS in shape else 1
    inner = (torch.arange(size, device=slot.device) for size in update.shape[1:num_axes])
    return tuple(
        index.reshape([1] * axis + [-1] + [1] * (num_axes - 1 - axis))
        for axis, index in enumerate((slot, *inner))
    )


@dataclass(frozen=True)
class StepInputs:
    """What a decoder step is told of n rows of W hypotheses.

    Args:
        token: (n, W), each hypothesis' last token.
        position: (n), each row's t, from 0.
        source_length: (n), at least 1.
        parent: (n, W) for a model of states: which hypothesis of the step before each goes on from.
    """

    token: Tensor
    position: Tensor
    source_length: Tensor
    parent: Tensor | None = None


@dataclass(frozen=True)
class StepOutputs:
    """What an architecture makes of it.

    Args:
        hidden: (n, W, E'), what the output layer reads.
        attention: For each decoder layer that attends to the source its weights (n, H, W, C); of a model with
            an attention graph the queries (n, W, E) that it makes them of.
        caches, states: The pools with this step written.
        memory: As it was, where an operator needs it as an output, see `source_attention`.
    """

    hidden: Tensor
    attention: Sequence[Tensor]
    caches: Sequence[Tensor] = ()
    states: Sequence[Tensor] = ()
    memory: Sequence[Tensor] = ()


class DecoderStepGraph(nn.Module, ABC):
    """One decoder step for n sequences of W hypotheses each.

    Args:
        model: Gives the output layer.
        pools: Of the model.
    """

    def __init__(self, model: EncoderDecoder, pools: Pools) -> None:
        super().__init__()
        self.output = model.output
        self.pools = pools

    def forward(
        self, token: Tensor, position: Tensor, source_length: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        """Score the token after each hypothesis.

        Args:
            token, position, source_length: See `StepInputs`.
            rest: `parent` if there are states; then caches, states and memory.

        Returns:
            logits (n, W, V) fp32; hidden (n, W, E'); the attention of each layer, or its queries; memory, if
            it is an output; caches and states as they are now.
        """
        values = iter(rest)
        parent = next(values) if self.pools.states else None
        inputs = StepInputs(token, position, source_length, parent)
        caches = _take(values, self.pools.caches)
        states = _take(values, self.pools.states)
        step = self.step(inputs, caches, states, list(values))
        logits = self.output(step.hidden).float()  # (n, W, V)
        return (logits, step.hidden, *step.attention, *step.memory, *step.caches, *step.states)

    @abstractmethod
    def step(
        self, inputs: StepInputs, caches: list[Tensor], states: list[Tensor], memory: list[Tensor]
    ) -> StepOutputs:
        """Advance by one token."""


def _take(values: Iterable[Tensor], specs: Sequence[object]) -> list[Tensor]:
    return list(islice(values, len(specs)))


class LogProbsGraph(nn.Module):
    """Logits to log-probabilities: a graph of its own, because not every search needs them."""

    def forward(self, logits: Tensor) -> Tensor:
        """(n, W, V) to (n, W, V)."""
        return logits.log_softmax(dim=-1)


class CandidatesGraph(nn.Module):
    """The best next tokens of each hypothesis, as many as a beam search may need."""

    def forward(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """(n, W, V) to the best of them, descending, and their ids: twice (n, W, 2W)."""
        best = log_probs.topk(CANDIDATES_PER_BEAM * log_probs.shape[1])
        return best.values, best.indices


class CopyCachesGraph(nn.Module):
    """Hypotheses that are reordered on a device: columns of the caches over others."""

    def forward(
        self, from_hypothesis: Tensor, to_hypothesis: Tensor, column: Tensor, *caches: Tensor
    ) -> tuple[Tensor, ...]:
        """Copy a column of each cache (h, H, M, D) from one hypothesis over that of another, c times.

        Each head is an index of its own: a device moves what one index names in one thread.

        Args:
            from_hypothesis, to_hypothesis, column: (c); what is copied over is nowhere copied from.
        """
        num_heads = caches[0].shape[1]
        heads = torch.arange(num_heads, device=column.device).expand(column.shape[0], -1)  # (c, H)
        source, target, place = (
            indices[:, None].expand(-1, num_heads) for indices in (from_hypothesis, to_hypothesis, column)
        )  # (c, H) each
        return tuple(cache.index_put((target, heads, place), cache[source, heads, place]) for cache in caches)
