"""Arrays in one buffer: none touches another, each where it says, and a copy of the buffer has them all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.engine.tensors.packed import Packing, zeros

shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
dtypes = st.sampled_from(("int64", "float32", "float16", "uint8"))


@given(arrays=st.lists(st.tuples(shapes, dtypes), min_size=1, max_size=5))
def test_what_is_written_to_each_is_read_from_a_copy(arrays: list[tuple[tuple[int, ...], str]]) -> None:
    packing = Packing({str(i): array for i, array in enumerate(arrays)})
    buffer = zeros(packing.num_bytes)
    for i, (name, view) in enumerate(packing.views(buffer).items(), 1):
        assert (view.shape, view.dtype) == (arrays[i - 1][0], np.dtype(arrays[i - 1][1]))
        assert packing.offsets[name] % 256 == 0
        view[...] = i
    for i, view in enumerate(packing.views(buffer.copy()).values(), 1):
        assert (view == i).all()
