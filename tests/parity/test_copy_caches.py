"""Copying columns of the caches, as it is done on a GPU, reorders hypotheses as the proof does."""

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


def all_columns(
    from_hypothesis: NDArray[np.int64], to_hypothesis: NDArray[np.int64], first: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each copy for every column from the first one on."""
    columns = np.arange(first, CAPACITY)
    times, count = len(columns), len(from_hypothesis)
    return from_hypothesis.repeat(times), to_hypothesis.repeat(times), np.tile(columns, count)


def copy_in_place(
    copy_caches: onnxruntime.InferenceSession,
    caches: Arrays,
    *indices: NDArray[np.int64],
) -> None:
    """Each cache bound as input and output at once, as a lane does."""
    binding = copy_caches.io_binding()
    for name, array in zip(("from_hypothesis", "to_hypothesis", "column"), indices, strict=True):
        bind_array(binding.bind_input, name, array)
    for name, cache in caches.items():
        bind_array(binding.bind_input, name, cache)
        bind_array(binding.bind_output, f"{name}_out", cache)
    copy_caches.run_with_iobinding(binding)


@pytest.mark.parametrize(("rows", "beam_size"), [(1, 2), (3, 4), (5, 3)])
def test_copying_all_columns_over_others_is_reordering(
    graphs: GraphModel, copy_caches: onnxruntime.InferenceSession, rows: int, beam_size: int
) -> None:
    random, caches = np.random.default_rng(2), noise(graphs, rows, beam_size)
    for _ in range(5):
        chosen = random.integers(0, beam_size, (rows, beam_size))
        parents = np.array([row[keep_places(row.tolist())] for row in chosen])
        from_hypothesis, to_hypothesis = copies(parents)
        assert not {*from_hypothesis} & {*to_hypothesis}
        expected = graphs._reordered(parents, caches)
        copy_in_place(copy_caches, caches, *all_columns(from_hypothesis, to_hypothesis))
        for name, cache in expected.items():
            np.testing.assert_array_equal(caches[name], cache)


def test_copying_nothing_changes_nothing(
    graphs: GraphModel, copy_caches: onnxruntime.InferenceSession
) -> None:
    caches, expected, none = noise(graphs, 2, 3), noise(graphs, 2, 3), np.zeros(0, np.int64)
    copy_in_place(copy_caches, caches, none, none, none)
    for name, cache in expected.items():
        np.testing.assert_array_equal(caches[name], cache)


def test_columns_that_are_not_copied_stay(
    graphs: GraphModel, copy_caches: onnxruntime.InferenceSession
) -> None:
    caches, before = noise(graphs, 2, 2), noise(graphs, 2, 2)
    copy_in_place(copy_caches, caches, *all_columns(np.array([0, 3]), np.array([1, 2]), first=5))
    for name, cache in caches.items():
        np.testing.assert_array_equal(cache[[1, 2], :, 5:], before[name][[0, 3], :, 5:])
        np.testing.assert_array_equal(cache[[1, 2], :, :5], before[name][[1, 2], :, :5])
        np.testing.assert_array_equal(cache[[0, 3]], before[name][[0, 3]])


def test_each_head_is_copied_by_an_index_of_its_own(exported: dict[str, Exported]) -> None:
    """One thread of a device moves what one index names: little, so that many take part."""
    graph = exported[GraphName.COPY_CACHES].model.graph
    for node in graph.node:
        if node.op_type in {"ScatterND", "GatherND"}:
            indices = next(n for n in graph.node if node.input[1] in n.output)
            assert indices.op_type == "Concat"
            assert len(indices.input) == 3, "hypothesis, head, column"
