"""Sentences for the proof, and graphs opened for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from export.artifact import write_graphs
from export.graph_model import GraphModel
from export.manifest import TensorInfo
from export.onnx_graph import Exported, pool_specs
from export.proof import Sentence, prepare
from model.tokenizer import Tokenizer
from model.transformer import Transformer


@pytest.fixture(scope="session")
def sentences(short_pairs: list[tuple[str, str]], tokenizer: Tokenizer) -> list[Sentence]:
    return prepare(short_pairs, tokenizer)


@pytest.fixture
def open_graphs(tmp_path: Path) -> Callable[[Transformer, Mapping[str, Exported]], GraphModel]:
    """Write fp32 graphs to the test's folder and load them."""

    def open_graphs(model: Transformer, exported: Mapping[str, Exported]) -> GraphModel:
        write_graphs(tmp_path, exported)
        caches, memory = (
            tuple(TensorInfo(**dataclasses.asdict(spec)) for spec in specs)
            for specs in pool_specs(model, "float32")
        )
        return GraphModel(tmp_path, caches, memory)

    return open_graphs
