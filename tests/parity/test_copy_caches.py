"""Copying rows of the caches, as it is done on a GPU, reorders hypotheses as the proof does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from export.contract.graph_names import GraphName
from export.graphs.to_onnx import Exported
from export.proof.graph_model import Arrays, GraphModel
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.transformer import Transformer
from server.engine.searches.search import keep_places
from server.engine.tensors.host import bind_array

OpenGraphs = Callable[[EncoderDecoder, Mapping[str, Exported]], GraphModel]
CAPACITY = 16


@pytest.fixture
def graphs(small_model: Transformer, exported: dict[str, Exported], open_graphs: OpenGraphs) -> GraphModel:
    return open_graphs(small_model, exported)


@pytest.fixture(scope="module")
def copy_caches(exported: dict[str, Exported]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        exported[GraphName.COPY_CACHES].model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def noise(graphs: GraphModel, rows: int, beam_size: int) -> Arrays:
    """Caches in which no two numbers are alike."""
    random, pools = np.random.default_rng(1), graphs.new_pools(rows, beam_size, CAPACITY)
    return {
        spec.name: random.standard_normal(pools[spec.name].shape).astype(spec.dtype)
        for spec in graphs.pools.caches
    }


def copies(parents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From where to where: hypotheses that go on from another one, W rows of a sequence side by side."""
    rows, own = np.nonzero(parents != np.arange(parents.shape[1]))
    first = rows * parents.shape[1]
    return first + parents[rows, own], first + own


def copy_in_place(
    copy_caches: onnxruntime.InferenceSession,
    caches: Arrays,
    from_hypothesis: NDArray[np.int64],
    to_hypothesis: NDArray[np.int64],
) -> None:
    """Each cache bound as input and output at once, as a lane does."""
    binding = copy_caches.io_binding()
    bind_array(binding.bind_input, "from_hypothesis", from_hypothesis)
    bind_array(binding.bind_input, "to_hypothesis", to_hypothesis)
    for name, cache in caches.items():
        bind_array(binding.bind_input, name, cache)
        bind_array(binding.bind_output, f"{name}_out", cache)
    copy_caches.run_with_iobinding(binding)


@pytest.mark.parametrize(("rows", "beam_size"), [(1, 2), (3, 4), (5, 3)])
def test_copying_rows_over_others_is_reordering(
    graphs: GraphModel, copy_caches: onnxruntime.InferenceSession, rows: int, beam_size: int
) -> None:
    random, caches = np.random.default_rng(2), noise(graphs, rows, beam_size)
    for _ in range(5):
        chosen = random.integers(0, beam_size, (rows, beam_size))
        parents = np.array([row[keep_places(row.tolist())] for row in chosen])
        from_hypothesis, to_hypothesis = copies(parents)
        assert not {*from_hypothesis} & {*to_hypothesis}
        expected = graphs._reordered(parents, caches)
        copy_in_place(copy_caches, caches, from_hypothesis, to_hypothesis)
        for name, cache in expected.items():
            np.testing.assert_array_equal(caches[name], cache)


def test_copying_nothing_changes_nothing(
    graphs: GraphModel, copy_caches: onnxruntime.InferenceSession
) -> None:
    caches, expected, none = noise(graphs, 2, 3), noise(graphs, 2, 3), np.zeros(0, np.int64)
    copy_in_place(copy_caches, caches, none, none)
    for name, cache in expected.items():
        np.testing.assert_array_equal(caches[name], cache)
