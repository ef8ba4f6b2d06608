"""What tests share: sentence pairs, a tokenizer learnt from them, and small random models."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch.onnx._internal.exporter._constants import TORCHLIB_OPSET
from torch.onnx._internal.exporter._registration import ONNXRegistry

from export.graphs.all_graphs import export_graphs
from export.graphs.to_onnx import Exported
from model.networks.build import build_model
from model.networks.config import ModelConfig, RecurrentConfig, TransformerConfig
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer
from model.text.parallel_text import read_pairs
from model.text.sentencepiece_tokenizer import END_ID, train_tokenizer
from model.text.tokenizer import Tokenizer

torch.set_num_threads(1)  # the models are tiny: more threads would only wait for each other

DATA = Path(__file__).parent / "data"
VOCABULARY_SIZE = 600
TINY = {
    "vocabulary_size": VOCABULARY_SIZE,
    "model_size": 32,
    "num_heads": 4,
    "feed_forward_size": 64,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "dropout": 0.0,
}
TINY_RECURRENT = {
    "vocabulary_size": VOCABULARY_SIZE,
    "embedding_size": 24,
    "model_size": 32,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "dropout": 0.0,
}


@pytest.fixture(scope="session", autouse=True)
def _operator_table() -> Iterator[None]:
    """PyTorch's table of ONNX operators, read once: each graph's export would read it anew, for a second."""
    read = functools.cache(ONNXRegistry.from_torchlib)

    def copied(opset_version: int = TORCHLIB_OPSET) -> ONNXRegistry:
        table = copy.copy(read(opset_version))
        table.functions = {operator: [*functions] for operator, functions in table.functions.items()}
        return table

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copied))
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Holds en-it.tsv."""
    return DATA


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    """Every English-Italian pair."""
    return read_pairs(DATA / "en-it.tsv")


@pytest.fixture(scope="session")
def short_pairs(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The shortest, as many as the proof demands."""
    return sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))[:100]


@pytest.fixture(scope="session")
def tokenizer(pairs: list[tuple[str, str]]) -> Tokenizer:
    return train_tokenizer((text for pair in pairs for text in pair), VOCABULARY_SIZE, ("en", "it"))


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Transformer]:
    """A small random Transformer of a given seed and any fields of `TransformerConfig`.

    Its weights are larger than a fresh model's, so that every part of it shows in the logits, and
    the end of the sentence stands out, so that greedy targets differ in length.
    """

    def make(seed: int = 0, **fields: object) -> Transformer:
        model = _make(seed, TransformerConfig(**(TINY | fields)))  # type: ignore[arg-type]
        assert isinstance(model, Transformer)
        return model

    return make


@pytest.fixture(scope="session")
def make_recurrent() -> Callable[..., Recurrent]:
    """Likewise a recurrent model, of any fields of `RecurrentConfig`."""

    def make(seed: int = 0, **fields: object) -> Recurrent:
        model = _make(seed, RecurrentConfig(**(TINY_RECURRENT | fields)))  # type: ignore[arg-type]
        assert isinstance(model, Recurrent)
        return model

    return make


def _make(seed: int, config: ModelConfig) -> EncoderDecoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(config)
        _exaggerate(model)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _exaggerate(model: EncoderDecoder) -> None:
    for name, weight in model.named_parameters():
        if name == "output.weight":  # untied: as large as embeddings are
            weight.normal_(std=weight.shape[1] ** -0.5)
        elif weight.dim() == 1:
            weight.add_(0.1 * torch.randn_like(weight))
        elif "embedding" not in name:
            weight.mul_(2)
    model.output.weight[END_ID] *= 4


@pytest.fixture(scope="session")
def small_model(make_model: Callable[..., Transformer]) -> Transformer:
    """The model behind `exported`; nobody changes it."""
    return make_model(num_encoder_layers=1)


@pytest.fixture(scope="session")
def exported(small_model: Transformer) -> dict[str, Exported]:
    """Its fp32 graphs; nobody changes them."""
    return export_graphs(small_model, "float32")
