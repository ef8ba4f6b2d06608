"""Tiny random models behind the server's own session."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.contract.graph_names import GraphName
from export.describe import describe
from export.folder import write_graphs
from export.graphs.all_graphs import export_graphs
from export.graphs.of_model import graphs_of
from export.graphs.to_onnx import Exported
from export.limits import Limits
from export.proof.graph_model import GraphModel
from export.proof.sentences import prepare
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer
from model.text.tokenizer import Tokenizer
from server.engine.session import ModelSession, SessionConfig

LIMITS = Limits(max_source_tokens=64, max_target_tokens=64)
POISON = 333  # an ordinary piece
OpenSession = Callable[..., ModelSession]


@pytest.fixture(scope="session")
def open_session(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, short_pairs: list[tuple[str, str]]
) -> OpenSession:
    """Write a model's graphs as an artifact, unproven, and open them on CPU."""
    sentences = prepare(short_pairs, tokenizer)

    def open_(model: EncoderDecoder, exported: Mapping[str, Exported]) -> ModelSession:
        folder = tmp_path_factory.mktemp("artifact") / "tiny"
        folder.mkdir()
        write_graphs(folder, exported)
        manifest = describe(
            model,
            tokenizer,
            folder=folder,
            precision="fp32",
            limits=LIMITS,
            exported=exported,
            sentences=sentences,
            graphs=GraphModel(folder, graphs_of(model).pools, model.special_ids),
        )
        return ModelSession.load(folder, manifest, SessionConfig(device="cpu"))

    return open_


@pytest.fixture(scope="session")
def tiny_session(
    open_session: OpenSession, small_model: Transformer, exported: dict[str, Exported]
) -> ModelSession:
    return open_session(small_model, exported)


@pytest.fixture(scope="session")
def recurrent_model(make_recurrent: Callable[..., Recurrent]) -> Recurrent:
    """A model of states instead of caches."""
    return make_recurrent(cell="gru", attention="additive", num_encoder_layers=1)


@pytest.fixture(scope="session")
def recurrent_session(open_session: OpenSession, recurrent_model: Recurrent) -> ModelSession:
    return open_session(recurrent_model, export_graphs(recurrent_model, "float32"))


@pytest.fixture(scope="session")
def poisoned_session(
    open_session: OpenSession, small_model: Transformer, exported: dict[str, Exported], tokenizer: Tokenizer
) -> ModelSession:
    """A model whose encoder embeds one piece, 333, as no number."""
    encoder = onnx.ModelProto()
    encoder.CopyFrom(exported[GraphName.ENCODER].model)
    (table,) = (i for i in encoder.graph.initializer if i.dims[:1] == [tokenizer.size])
    weights = numpy_helper.to_array(table).copy()
    weights[POISON] = np.nan
    table.CopyFrom(numpy_helper.from_array(weights, table.name))
    poisoned = dataclasses.replace(exported[GraphName.ENCODER], model=encoder)
    return open_session(small_model, {**exported, GraphName.ENCODER: poisoned})
