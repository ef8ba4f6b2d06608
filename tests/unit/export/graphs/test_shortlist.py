"""The graphs of a shortlist, cut out of decoder steps of all kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from export.artifact import build_artifact
from export.contract.graph_names import GraphName
from export.folder import write_graphs
from export.graphs.all_graphs import export_graphs
from export.graphs.of_model import graphs_of
from export.graphs.shortlist import shortlist_graphs
from export.graphs.to_onnx import Exported, ExportError
from export.limits import Limits
from export.proof.graph_model import Arrays
from export.proof.shortlist_model import ShortlistGraphs
from export.quantize.matrices import quantize_graph, weight_key
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer
from model.shortlist.shortlist import Shortlist, ShortlistTable
from model.text.tokenizer import Tokenizer

ROWS, WIDTH, CAPACITY = 3, 2, 16


def some_feeds(graphs: ShortlistGraphs) -> Arrays:
    rng = np.random.default_rng(0)
    pools = {
        name: rng.standard_normal(pool.shape).astype(pool.dtype)
        for name, pool in graphs.new_pools(ROWS, WIDTH, CAPACITY).items()
    }
    return graphs.feeds(
        rng.integers(4, 600, (ROWS, WIDTH)),
        np.array([0, 3, 7]),
        np.array([2, 16, 9]),
        rng.integers(0, WIDTH, (ROWS, WIDTH)),
        pools,
    )


@pytest.fixture(scope="module", params=["tied", "untied", "recurrent", "biased"])
def model(
    request: pytest.FixtureRequest,
    make_model: Callable[..., Transformer],
    make_recurrent: Callable[..., Recurrent],
) -> EncoderDecoder:
    if request.param == "recurrent":
        return make_recurrent(cell="gru", attention="none", context="every_step")
    model = make_model(
        tie_embeddings=request.param != "untied",
        output_bias=request.param == "biased",
        num_encoder_layers=1,
        num_decoder_layers=1,
    )
    if model.output.bias is not None:
        with torch.no_grad():
            model.output.bias.copy_(torch.linspace(-9, 9, len(model.output.bias)))
            model.output.bias[1] = -torch.inf
    return model


@pytest.fixture(scope="module")
def exact(model: EncoderDecoder) -> dict[str, Exported]:
    return export_graphs(model, "float32")


@pytest.mark.parametrize("precision", ["fp32", "int8 by row", "int8 by a constant"])
def test_they_give_a_tokens_logit_as_the_whole_step_does(
    model: EncoderDecoder, exact: dict[str, Exported], precision: str, tmp_path: Path
) -> None:
    exported = exact
    if precision != "fp32":
        largest = {weight_key(model.output.weight.T.numpy()): 4.0} if "constant" in precision else None
        exported = {
            name: dataclasses.replace(graph, model=quantize_graph(graph.model, largest))
            for name, graph in exact.items()
        }
    write_graphs(tmp_path, {**exported, **shortlist_graphs(exported[GraphName.DECODER_STEP])})
    graphs = ShortlistGraphs(tmp_path, graphs_of(model).pools, model.special_ids)
    feeds = some_feeds(graphs)
    whole, bare = graphs.run(GraphName.DECODER_STEP, feeds), graphs.hidden(feeds)
    assert bare.keys() == whole.keys() - {"logits"}
    memory = {f"{spec.name}_out" for spec in graphs.pools.memory}  # no step writes it
    for name in bare.keys() - memory:
        np.testing.assert_array_equal(bare[name], whole[name])
    tokens = np.random.default_rng(1).permutation(600)[:77]
    found = graphs.logits(bare["hidden"], tokens)
    np.testing.assert_allclose(
        found, whole["logits"][..., tokens], rtol=0, atol=1e-4 if precision == "fp32" else 0
    )
    np.testing.assert_array_equal(graphs.logits(bare["hidden"], tokens[::-1])[..., ::-1], found)


def test_they_hold_no_weights_of_their_own(exact: dict[str, Exported], tmp_path: Path) -> None:
    write_graphs(tmp_path, exact)
    before = (tmp_path / "weights.bin").read_bytes()
    write_graphs(tmp_path, {**exact, **shortlist_graphs(exact[GraphName.DECODER_STEP])})
    assert (tmp_path / "weights.bin").read_bytes() == before


def test_another_output_layer_is_refused(exported: dict[str, Exported]) -> None:
    step = exported[GraphName.DECODER_STEP]
    changed = onnx.ModelProto()
    changed.CopyFrom(step.model)
    changed.graph.node[-1].output[0] = "first"
    changed.graph.node.append(helper.make_node("MatMul", ["first", "second"], ["logits"]))
    with pytest.raises(ExportError, match="an output layer that is one product with the hidden state"):
        shortlist_graphs(dataclasses.replace(step, model=changed))


@pytest.mark.parametrize(
    ("size", "tags", "precision", "fault"),
    [
        (600, (4,), "int8", r"it has no table for the tag \d"),
        (599, (4, 5), "int8", "it is of 599 tokens, the tokenizer has 600"),
        (600, (4, 5), "fp16", "fp16 artifacts have none, only fp32, int8"),
    ],
)
def test_a_shortlist_that_does_not_fit_is_refused(
    small_model: Transformer,
    tokenizer: Tokenizer,
    tmp_path: Path,
    size: int,
    tags: tuple[int, ...],
    precision: str,
    fault: str,
) -> None:
    table = ShortlistTable(
        is_always=np.ones(size, np.bool_),
        offsets=np.zeros(size + 1, np.int64),
        targets=np.empty(0, np.int64),
    )
    with pytest.raises(ExportError, match=f"the shortlist does not fit: {fault}"):
        build_artifact(
            small_model,
            tokenizer,
            tmp_path / "artifact",
            precision=precision,
            pairs=[],
            limits=Limits(),
            shortlist=Shortlist(size, dict.fromkeys(tags, table)),
        )
    assert not (tmp_path / "artifact").exists()
