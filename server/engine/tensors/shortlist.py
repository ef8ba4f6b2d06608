"""A lane whose rows score only the candidates of a vocabulary shortlist, each row its own.

The output layer's product runs once, for the candidates of all rows. Whatever is summed or ranked after that
is gathered first into an order that follows from the row's own source: so no row depends on another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from model.shortlist.shortlist import Shortlist
from server.engine.graph_runner import GraphRunner
from server.engine.searches.search import HIDDEN, Array, Best, StepOutputs
from server.engine.sequence import InferenceError
from server.engine.tensors.bindings import Bindings, Outputs
from server.engine.tensors.candidate_union import Tokens
from server.engine.tensors.decoder_step import ALL_SCORES, SCORES, DecoderStep
from server.engine.tensors.host import HostStorage, bind_array
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.output_columns import OutputColumns

_WIDTH_MULTIPLE = 256
_NOWHERE = np.iinfo(np.int64).max  # of an index: beyond the last logit, where minus infinity stands

Floats = NDArray[np.float32]
NO_TOKENS: Mapping[int, Sequence[int]] = MappingProxyType({})


class ShortlistScores:
    """Steps whose scores are of each row's candidates; other tokens have the log-probability minus infinity.

    Args:
        shortlist: Names a source's candidates, at least 2W of each.
    """

    def __init__(
        self,
        graphs: GraphRunner,
        shape: LaneShape,
        storage: HostStorage,
        bindings: Bindings,
        shortlist: Shortlist,
    ) -> None:
        self._graphs, self._shape, self._storage, self._shortlist = graphs, shape, storage, shortlist
        self._step = DecoderStep(graphs.session.manifest, bindings, storage, GraphName.DECODER_HIDDEN, HIDDEN)
        self._columns = OutputColumns(graphs, shortlist.vocabulary_size)
        self._candidates: list[Tokens | None] = [None] * shape.rows
        self._changed: set[int] = set()
        self._bound: Mapping[str, Array] | None = None  # the columns that products are bound to
        self._products: dict[int, Any] = {}  # bindings, by the number of rows
        self._logits: Floats = np.empty(0, np.float32)  # flat, (R, W, K) and minus infinity
        self._index: NDArray[np.int64] = np.empty((shape.rows, 0), np.int64)  # (R, N), see `_gather`
        self._gathered: Floats = np.empty((shape.width, shape.rows, 0), np.float32)  # (W, R, N)
        self._log_probs: Floats | None = None  # (R, W, V), minus infinity but for candidates

    def join(self, sources: Mapping[int, list[int]], forced: Mapping[int, Sequence[int]] = NO_TOKENS) -> None:
        """Let rows score the candidates of their sources, token ids by row.

        Args:
            forced: By row tokens that are candidates whatever the source is.

        Raises:
            InferenceError: ONNX Runtime failed; the rows then have no candidates.
        """
        for row, source in sources.items():
            candidates = self._shortlist.candidates(source)
            if row in forced:
                candidates = np.union1d(candidates, np.asarray(forced[row], np.int64))
            self._set_candidates(row, candidates)
        try:
            self._refresh()
        except InferenceError:
            for row in sources:
                self._set_candidates(row, None)
            raise

    def leave(self, row: int) -> None:
        """Forget the candidates of a sequence that has left."""
        self._set_candidates(row, None)

    def copy_row(self, row: int, other_row: int) -> None:
        """Let another row score the candidates of a row."""
        self._set_candidates(other_row, self._candidates[row])

    def _set_candidates(self, row: int, candidates: Tokens | None) -> None:
        union, former = self._columns.union, self._candidates[row]
        if candidates is not None:
            assert len(candidates) >= 2 * self._shape.width, "fewer candidates than a search may ask for"
            union.add(candidates)
        if former is not None:
            union.remove(former)
            if self._log_probs is not None:
                self._log_probs[row][:, former] = -np.inf
        self._candidates[row] = candidates
        self._changed.add(row)

    def _refresh(self) -> None:
        """Bring columns and indices up to date with who is here."""
        if not self._changed:
            return
        if self._columns.update():
            self._changed.update(range(self._shape.rows))
        if self._bound is not self._columns.arrays:
            self._bound = self._columns.arrays
            self._products.clear()
            num_logits = self._first(self._shape.rows)
            self._logits = np.full(num_logits + 1, -np.inf, np.float32)
            self._changed.update(range(self._shape.rows))
        longest = max((len(c) for c in self._candidates if c is not None), default=0)
        if longest > self._index.shape[1]:
            longest = -(-longest // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE
            self._index = np.empty((self._shape.rows, longest), np.int64)
            self._gathered = np.empty((self._shape.width, self._shape.rows, longest), np.float32)
            self._changed.update(range(self._shape.rows))
        for row in self._changed:
            self._set_index(row)
        self._changed.clear()

    def _set_index(self, row: int) -> None:
        candidates = self._candidates[row]
        if candidates is None:
            self._index[row] = self._first(row)  # harmless numbers
        else:
            self._index[row, : len(candidates)] = self._first(row) + self._columns.union.places(candidates)
            self._index[row, len(candidates) :] = _NOWHERE

    def _first(self, row: Any) -> Any:
        """Where a row's logits begin in the flat array."""
        return row * self._shape.width * self._columns.size

    def step(self, rows: int, requested: Outputs) -> StepOutputs:
        """Run one decoder step and score the rows' candidates, see `LaneTensors.step`."""
        self._refresh()
        extra = self._step.run(rows, requested)
        self._graphs.run(GraphName.SHORTLIST_LOGITS, self._product(rows))
        gathered = self._gather(rows)  # (W, R, N)
        if not requested & SCORES:
            return StepOutputs(self._best_of_one(gathered, gathered), extra=extra)
        normalizer = self._normalizer(gathered)  # (W, R, 1)
        candidates = self._best(gathered, normalizer) if GraphName.CANDIDATES in requested else None
        if not requested & ALL_SCORES:
            return StepOutputs(self._best_of_one(gathered, gathered), candidates, extra=extra)
        with np.errstate(invalid="ignore"):
            scores = gathered - normalizer
        log_probs = self._spread(scores)
        return StepOutputs(self._best_of_one(gathered, scores), candidates, log_probs, extra)

    def _product(self, rows: int) -> Any:
        if rows not in self._products:
            binding = self._graphs.binding(GraphName.SHORTLIST_LOGITS)
            bind_array(binding.bind_input, HIDDEN, self._storage.output(HIDDEN)[:rows])
            for name, array in self._columns.arrays.items():
                bind_array(binding.bind_input, name, array)
            logits = self._logits[:-1].reshape(self._shape.rows, self._shape.width, -1)
            bind_array(binding.bind_output, "logits", logits[:rows])
            self._products[rows] = binding
        return self._products[rows]

    def _gather(self, rows: int) -> Floats:
        """Each row's logits of its own candidates, in their order, minus infinity behind them.

        `_index` says where those of the row's first hypothesis are.
        """
        for i, gathered in enumerate(self._gathered):
            logits = self._logits[i * self._columns.size :]
            logits.take(self._index[:rows], out=gathered[:rows], mode="clip")
        return self._gathered[:, :rows]

    def _normalizer(self, gathered: Floats) -> Floats:
        """The logarithm of a softmax' denominator (W, R, 1).

        A sum's order follows from its length, so each row's is summed alone.
        """
        highest = gathered.max(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore"):  # infinity less infinity, which a search reports
            exponentials = np.exp(gathered - highest)
        totals = np.ones_like(highest)
        for row, candidates in self._here(gathered.shape[1]):
            totals[:, row, 0] = exponentials[:, row, : len(candidates)].sum(axis=-1)
        normalizer: Floats = highest + np.log(totals)
        return normalizer

    def _here(self, rows: int) -> list[tuple[int, Tokens]]:
        return [(row, c) for row, c in enumerate(self._candidates[:rows]) if c is not None]

    def _best_of_one(self, gathered: Floats, scores: Floats) -> Best | None:
        """The best candidate of each row, where there is one hypothesis, by `StepOutputs.greedy`."""
        if self._shape.width > 1:
            return None
        best = gathered[0].argmax(axis=-1)  # (R)
        return Best(self._tokens(best[:, None])[:, 0], scores[0, np.arange(len(best)), best])

    def _tokens(self, positions: NDArray[np.int64]) -> Tokens:
        """Which tokens stand at positions (R, c) of the rows' candidates."""
        rows = np.arange(len(positions))[:, None]
        places = self._index[rows, positions] - self._first(rows)
        tokens: Tokens = self._columns.union.tokens[places]
        return tokens

    def _best(self, gathered: Floats, normalizer: Floats) -> Best:
        """The best 2W candidates of each hypothesis, by `StepOutputs.candidates`."""
        width, rows, _ = gathered.shape
        count = 2 * width
        top = np.zeros((width, rows, count), np.int64)
        for row, candidates in self._here(rows):
            logits = gathered[:, row, : len(candidates)]  # (W, n)
            top[:, row] = logits.argpartition(len(candidates) - count, axis=-1)[:, -count:]
        top.sort(axis=-1)  # of equal ones the lower id first
        logits = np.take_along_axis(gathered, top, axis=-1)  # (W, R, 2W)
        order = np.argsort(-logits, axis=-1, kind="stable")
        with np.errstate(invalid="ignore"):
            scores = np.take_along_axis(logits, order, axis=-1) - normalizer
        top = np.take_along_axis(top, order, axis=-1).transpose(1, 0, 2)  # (R, W, 2W)
        tokens = self._tokens(top.reshape(rows, -1)).reshape(top.shape)
        return Best(tokens, scores.transpose(1, 0, 2))

    def _spread(self, scores: Floats) -> Floats:
        """Candidates' log-probabilities (W, R, N) to those of the whole vocabulary (R, W, V)."""
        if self._log_probs is None:
            shape = (self._shape.rows, self._shape.width, self._shortlist.vocabulary_size)
            self._log_probs = np.full(shape, -np.inf, np.float32)
        rows = scores.shape[1]
        for row, candidates in self._here(rows):
            self._log_probs[row][:, candidates] = scores[:, row, : len(candidates)]
        return self._log_probs[:rows]
