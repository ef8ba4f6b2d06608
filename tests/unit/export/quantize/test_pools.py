"""int8 keys and values: near to fp32, in pools of bytes, and each row by itself alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from export.contract.graph_names import GraphName
from export.folder import write_graphs
from export.graphs.of_model import graphs_of
from export.graphs.to_onnx import Exported
from export.proof.graph_model import Arrays, Floats, GraphModel, StepScores
from export.proof.sentences import prepare
from export.quantize.calibration import Largest, largest_values
from export.quantize.pools import quantize_pools
from model.networks.transformer import Transformer
from model.text.tokenizer import Tokenizer

WIDTH, CAPACITY, NUM_STEPS = 2, 16, 6
SOURCES = [(5, 9, 4, 7, 3), (8, 6, 3), (4, 4, 11, 5, 6, 7, 8, 9, 3)]


@pytest.fixture(scope="module")
def largest(small_model: Transformer, tokenizer: Tokenizer, short_pairs: list[tuple[str, str]]) -> Largest:
    """Of the pools."""
    graphs = graphs_of(small_model)
    found = largest_values(graphs, tokenizer, prepare(short_pairs, tokenizer)[:40])
    return {spec.name: found[spec.name] for spec in (*graphs.pools.caches, *graphs.pools.memory)}


@pytest.fixture(scope="module")
def quantized(exported: dict[str, Exported], largest: Largest) -> dict[str, Exported]:
    """All graphs but the one that is for a GPU."""
    return {name: quantize_pools(g, largest) for name, g in exported.items() if name != GraphName.COPY_CACHES}


def opened(folder: Path, model: Transformer, exported: dict[str, Exported]) -> GraphModel:
    folder.mkdir(exist_ok=True)
    write_graphs(folder, exported)
    pools = graphs_of(model).pools.as_in(exported[GraphName.DECODER_STEP].inputs)
    return GraphModel(folder, pools, model.special_ids)


def encoded(graphs: GraphModel, sources: list[tuple[int, ...]]) -> Arrays:
    pools = graphs.new_pools(len(sources), WIDTH, CAPACITY)
    source = np.zeros((len(sources), max(map(len, sources))), np.int64)
    for row, ids in enumerate(sources):
        source[row, : len(ids)] = ids
    lengths = np.array([len(ids) for ids in sources])
    graphs.encode(source, lengths, np.arange(len(sources)), pools)
    return pools


def stepped(graphs: GraphModel, sources: list[tuple[int, ...]]) -> list[StepScores]:
    """Some steps with the same tokens in every row."""
    pools, rows = encoded(graphs, sources), len(sources)
    lengths = np.array([len(ids) for ids in sources])
    own = np.tile(np.arange(WIDTH), (rows, 1))
    return [
        graphs.step(np.full((rows, WIDTH), 4 + i), np.full(rows, i), lengths, own, pools)
        for i in range(NUM_STEPS)
    ]


def everything(scores: StepScores, row: int) -> list[Floats]:
    return [scores.log_probs[row], scores.hidden[row], *(layer[row] for layer in scores.attention)]


def test_pools_are_bytes_in_every_graph(quantized: dict[str, Exported], largest: Largest) -> None:
    seen = Counter[str]()
    for graph in quantized.values():
        for spec in (*graph.inputs, *graph.outputs):
            is_pool = spec.name.removesuffix("_out") in largest
            assert (spec.dtype == "int8") == is_pool, spec
            seen[spec.name.removesuffix("_out")] += is_pool
    assert all(seen[name] >= 2 for name in largest)


def test_a_graph_without_pools_stays_as_it_is(
    exported: dict[str, Exported], quantized: dict[str, Exported]
) -> None:
    assert quantized[GraphName.LOG_PROBS].model == exported[GraphName.LOG_PROBS].model


def test_a_step_makes_no_floats_of_whole_pools(quantized: dict[str, Exported]) -> None:
    nodes = Counter(node.op_type for node in quantized[GraphName.DECODER_STEP].model.graph.node)
    assert nodes["DequantizeLinear"] == 0
    assert Counter(n.op_type for n in quantized[GraphName.ATTENTION].model.graph.node)["DequantizeLinear"] > 0


def test_what_the_encoder_writes_is_off_by_half_a_step_at_most(
    small_model: Transformer,
    exported: dict[str, Exported],
    quantized: dict[str, Exported],
    largest: Largest,
    tmp_path: Path,
) -> None:
    exact = encoded(opened(tmp_path / "exact", small_model, exported), SOURCES)
    found = encoded(opened(tmp_path / "bytes", small_model, quantized), SOURCES)
    for spec in graphs_of(small_model).pools.memory:
        step = largest[spec.name] / 127
        kept = np.clip(exact[spec.name], -128 * step, 127 * step)
        assert found[spec.name].dtype == np.int8
        assert np.abs(np.multiply(found[spec.name], step) - kept).max() <= 0.5001 * step, spec.name


def test_what_is_beyond_the_largest_is_cut(
    small_model: Transformer, exported: dict[str, Exported], largest: Largest, tmp_path: Path
) -> None:
    small = {name: value / 100 for name, value in largest.items()}
    graphs = {name: quantize_pools(g, small) for name, g in exported.items() if name != GraphName.COPY_CACHES}
    pools = encoded(opened(tmp_path, small_model, graphs), SOURCES)
    for spec in graphs_of(small_model).pools.memory:
        assert {int(pools[spec.name].min()), int(pools[spec.name].max())} == {-128, 127}, spec.name


def test_steps_are_near_to_fp32(
    small_model: Transformer, exported: dict[str, Exported], quantized: dict[str, Exported], tmp_path: Path
) -> None:
    exact = stepped(opened(tmp_path / "exact", small_model, exported), SOURCES)
    found = stepped(opened(tmp_path / "bytes", small_model, quantized), SOURCES)
    differences = [
        np.abs(ours - theirs).mean()
        for now, then in zip(found, exact, strict=True)
        for row in range(len(SOURCES))
        for ours, theirs in zip(everything(now, row), everything(then, row), strict=True)
    ]
    assert 0 < max(differences) < 0.1
    for scores in found:
        for layer in scores.attention:
            for row, source in enumerate(SOURCES):
                np.testing.assert_allclose(layer[row].sum(axis=-1), 1, atol=1e-5)
                assert not layer[row][..., len(source) :].any()


def test_a_row_alone_is_the_same_to_the_last_bit(
    small_model: Transformer, quantized: dict[str, Exported], tmp_path: Path
) -> None:
    graphs = opened(tmp_path, small_model, quantized)
    together = stepped(graphs, SOURCES)
    for row, source in enumerate(SOURCES):
        twice = stepped(graphs, [source, source])  # a single row of floats goes through another kernel
        for now, then in zip(together, twice, strict=True):
            for ours, theirs in zip(everything(now, row), everything(then, 0), strict=True):
                np.testing.assert_array_equal(ours, theirs)
