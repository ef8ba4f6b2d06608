"""Collects the attention with which each token of a hypothesis was predicted, around any search."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from server.engine.searches.search import Continuation, Ending, Search, StepOutputs
from server.engine.sequence import AttentionChoice


class WithAttention:
    """A search whose hypotheses carry their attention over the source.

    It keeps every step's weights of all W hypotheses and who went on from whom, so a search itself
    need not know of attention, and nobody pays who does not ask for it.

    Args:
        search: Decides alone.
        choice: Layer and heads.
        source_length: S, in tokens.
    """

    def __init__(self, search: Search, choice: AttentionChoice, source_length: int) -> None:
        self._search = search
        self._output = f"attention_{choice.layer}"
        self._heads = list(choice.heads)
        self._source_length = source_length
        self._weights: list[NDArray[np.float32]] = []  # for each step (W, S)
        self._parents: list[list[int]] = []  # for each step whom the hypotheses of the next extend

    @property
    def extra_outputs(self) -> frozenset[str]:
        """What the search reads, and the layer's attention."""
        return self._search.extra_outputs | {self._output}

    def advance(self, step: StepOutputs, row: int) -> Continuation | None:
        """Keep the step's attention and let the search take the step, see `Search.advance`."""
        weights = step.extra[self._output][row][self._heads, :, : self._source_length]  # (h, W, S)
        self._weights.append(weights.mean(axis=0, dtype=np.float32))  # (W, S)
        continuation = self._search.advance(step, row)
        if continuation is not None:
            self._parents.append(continuation.parents)
        return continuation

    def endings(self) -> tuple[Ending, ...]:
        """The search's endings, each hypothesis with its attention."""
        return tuple(self._attended(ending) for ending in self._search.endings())

    def _attended(self, ending: Ending) -> Ending:
        slots = [ending.slot]  # backwards, from the step that predicted the last token
        for parents in reversed(self._parents[: len(ending.hypothesis.token_ids) - 1]):
            slots.append(parents[slots[-1]])
        rows = [weights[slot] for weights, slot in zip(self._weights, reversed(slots), strict=False)]
        hypothesis = dataclasses.replace(ending.hypothesis, attention=np.stack(rows))  # (T, S)
        return Ending(hypothesis, ending.slot)
