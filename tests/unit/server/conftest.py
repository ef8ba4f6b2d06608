"""A tiny random model behind the server's own session."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import proof
from export.artifact import Limits, _manifest, write_graphs
from export.manifest import ENCODER
from export.onnx_graph import Exported
from model.tokenizer import Tokenizer
from model.transformer import Transformer
from server.engine.session import ModelSession, SessionConfig

LIMITS = Limits(max_source_tokens=64, max_target_tokens=64)
POISON = 333  # an ordinary piece
OpenSession = Callable[[Mapping[str, Exported]], ModelSession]


@pytest.fixture(scope="session")
def open_session(
    tmp_path_factory: pytest.TempPathFactory,
    small_model: Transformer,
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
) -> OpenSession:
    """Write graphs of the small model as an artifact, unproven, and open them on CPU."""
    sentences = proof.prepare(short_pairs, tokenizer)

    def open_(exported: Mapping[str, Exported]) -> ModelSession:
        folder = tmp_path_factory.mktemp("artifact")
        write_graphs(folder, exported)
        manifest = _manifest(
            small_model,
            tokenizer,
            name="tiny",
            precision="fp32",
            limits=LIMITS,
            exported=exported,
            sentences=sentences,
            folder=folder,
        )
        return ModelSession(folder, manifest, SessionConfig(device="cpu"))

    return open_


@pytest.fixture(scope="session")
def tiny_session(open_session: OpenSession, exported: dict[str, Exported]) -> ModelSession:
    return open_session(exported)


@pytest.fixture(scope="session")
def poisoned_session(
    open_session: OpenSession, exported: dict[str, Exported], tokenizer: Tokenizer
) -> ModelSession:
    """A model whose encoder embeds one piece, 333, as no number."""
    encoder = onnx.ModelProto()
    encoder.CopyFrom(exported[ENCODER].model)
    (table,) = (i for i in encoder.graph.initializer if i.dims[:1] == [tokenizer.size])
    weights = numpy_helper.to_array(table).copy()
    weights[POISON] = np.nan
    table.CopyFrom(numpy_helper.from_array(weights, table.name))
    return open_session({**exported, ENCODER: dataclasses.replace(exported[ENCODER], model=encoder)})
