"""Sentences for the proof, and graphs opened for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from export.contract.graph_names import GraphName
from export.folder import write_graphs
from export.graphs.of_model import graphs_of
from export.graphs.to_onnx import Exported
from export.proof.graph_model import GraphModel
from export.proof.sentences import Sentence, prepare
from model.networks.encoder_decoder import EncoderDecoder
from model.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def sentences(short_pairs: list[tuple[str, str]], tokenizer: Tokenizer) -> list[Sentence]:
    return prepare(short_pairs, tokenizer)


@pytest.fixture
def open_graphs(tmp_path: Path) -> Callable[[EncoderDecoder, Mapping[str, Exported]], GraphModel]:
    """Write graphs to the test's folder and load them."""

    def open_graphs(model: EncoderDecoder, exported: Mapping[str, Exported]) -> GraphModel:
        write_graphs(tmp_path, exported)
        pools = graphs_of(model).pools.as_in(exported[GraphName.DECODER_STEP].inputs)
        return GraphModel(tmp_path, pools, model.special_ids)

    return open_graphs
