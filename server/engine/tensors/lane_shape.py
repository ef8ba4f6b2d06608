"""How large the tensors of a lane are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod

import numpy as np

from export.contract.graph_names import OF_A_SHORTLIST, GraphName
from export.contract.manifest import Manifest
from export.contract.tensors import TensorSpec

OUTSIDE_A_STEP = OF_A_SHORTLIST | {GraphName.ENCODER, GraphName.COPY_CACHES}


@dataclass(frozen=True, kw_only=True)
class LaneShape:
    """The sizes of a lane's axes.

    Args:
        rows: R, sequences.
        width: W, hypotheses of each.
        source_capacity: C, source positions of a row.
        columns: M, target steps of a row.

    >>> shape = LaneShape(rows=4, width=2, source_capacity=16, columns=9)
    >>> shape.of(TensorSpec(name="keys", dtype="float32", shape=("hypotheses", 8, "columns", 64)))
    (8, 8, 9, 64)
    """

    rows: int
    width: int
    source_capacity: int
    columns: int

    def of(self, spec: TensorSpec) -> tuple[int, ...]:
        """The shape of a tensor, whose axes have names or sizes."""
        sizes = {
            "rows": self.rows,
            "beam": self.width,
            "hypotheses": self.rows * self.width,
            "2*beam": 2 * self.width,
            "columns": self.columns,
            "source_capacity": self.source_capacity,
        }
        return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)

    def num_per_row(self, spec: TensorSpec) -> int:
        """Entries of a tensor's first axis that belong to one row."""
        return self.width if spec.shape[0] == "hypotheses" else 1

    def bucket(self, rows: int) -> int:
        """The rows that a GPU's step of so many computes: the next power of two, or all.

        >>> shape = LaneShape(rows=6, width=1, source_capacity=16, columns=9)
        >>> [shape.bucket(rows) for rows in range(1, 7)]
        [1, 2, 4, 4, 6, 6]
        """
        return min(1 << (rows - 1).bit_length(), self.rows)

    def buckets(self, min_rows: int) -> list[int]:
        """The buckets of steps of at least so many rows."""
        return sorted({self.bucket(rows) for rows in range(min_rows, self.rows + 1)})

    def num_bytes(self, manifest: Manifest, *, with_outputs: bool = False) -> int:
        """What the pools take.

        Args:
            with_outputs: And what steps give, the most of it scores of the whole vocabulary: on a GPU all of
                it has a place there.
        """
        pools = (*manifest.caches, *manifest.states, *manifest.memory)
        outputs = _of_steps(manifest, {spec.name for spec in pools}) if with_outputs else ()
        return sum(prod(self.of(spec)) * np.dtype(spec.dtype).itemsize for spec in (*pools, *outputs))


def _of_steps(manifest: Manifest, pools: Collection[str]) -> list[TensorSpec]:
    """What the graphs of a step give that is no pool."""
    graphs = manifest.graphs.items()
    specs = [spec for name, info in graphs if name not in OUTSIDE_A_STEP for spec in info.outputs]
    return [spec for spec in specs if spec.name.removesuffix("_out") not in pools]
