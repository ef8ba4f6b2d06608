"""A shortlist over an artifact's graphs, slow: its own graphs as NumPy calls, and the whole step masked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.contract.graph_names import GraphName
from export.contract.tensors import Pools
from export.proof.graph_model import Array, Arrays, Beams, GraphModel, GraphScorer, new_session
from model.shortlist.shortlist import Shortlist
from model.text.special_ids import SpecialIds

# ONNX Runtime sums a product of floats in another order when it has few columns.
COLUMN_MULTIPLE = 1024


class ShortlistGraphs(GraphModel):
    """A model's graphs, those for a shortlist among them."""

    def __init__(self, folder: Path, pools: Pools, special_ids: SpecialIds) -> None:
        super().__init__(folder, pools, special_ids)
        names = (GraphName.DECODER_HIDDEN, GraphName.OUTPUT_COLUMNS, GraphName.SHORTLIST_LOGITS)
        self.sessions |= {name: new_session(folder, name) for name in names}

    def hidden(self, feeds: Arrays) -> dict[str, Any]:
        """A step without its output layer: all that it gives, by name; `feeds` are a decoder step's."""
        return self.run(GraphName.DECODER_HIDDEN, feeds)

    def logits(self, hidden: Array, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """The logits (n, W, m) of some tokens (m), in their order, from hidden states (n, W, E')."""
        after = -len(tokens) % COLUMN_MULTIPLE
        feeds = {
            name: np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, after)])
            for name, array in self.run(GraphName.OUTPUT_COLUMNS, {"token": tokens}).items()
        }
        found = self.run(GraphName.SHORTLIST_LOGITS, {"hidden": hidden, **feeds})
        logits: NDArray[np.float32] = found["logits"][..., : len(tokens)]
        return logits


@dataclass
class ShortlistedBeams(Beams):
    """An encoded source with its candidates.

    Args:
        is_candidate: (V).
    """

    is_candidate: Tensor | None = None


class ShortlistScorer(GraphScorer):
    """`GraphScorer` over the whole step, with all but a sentence's candidates made impossible.

    Args:
        graphs: The graphs; none of those for a shortlist are used.
        beam_size: W.
        capacity: Longest source and target, in tokens.
        shortlist: Names the candidates.
    """

    def __init__(self, graphs: GraphModel, beam_size: int, capacity: int, shortlist: Shortlist) -> None:
        super().__init__(graphs, beam_size, capacity)
        self.shortlist = shortlist

    def encode(self, source: Tensor) -> ShortlistedBeams:
        """Encode a source (1, S)."""
        encoded = super().encode(source)
        is_candidate = torch.zeros(self.shortlist.vocabulary_size, dtype=torch.bool)
        is_candidate[torch.from_numpy(self.shortlist.candidates(source[0].tolist()))] = True
        return ShortlistedBeams(encoded.source_length, encoded.pools, is_candidate=is_candidate)

    def decode_step_with_hidden(self, prefix: Tensor, memory: Beams) -> tuple[Tensor, Tensor]:
        """Log-probabilities (K, V) and hidden states of a step; those of the candidates alone sum to 1."""
        assert isinstance(memory, ShortlistedBeams), "from another scorer"
        assert memory.is_candidate is not None, "from another scorer"
        log_probs, hidden = super().decode_step_with_hidden(prefix, memory)
        masked = log_probs.masked_fill(~memory.is_candidate, -torch.inf)  # (K, V)
        return masked.log_softmax(dim=-1), hidden
