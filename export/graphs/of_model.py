"""The graphs of a model, whatever its architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from export.contract.tensors import Pools
from export.graphs.gpu_transformer import GpuAttentionGraph, GpuEncoderGraph, GpuStepGraph, gpu_pools
from export.graphs.recurrent import RecurrentEncoderGraph, RecurrentStepGraph, recurrent_pools
from export.graphs.step import DecoderStepGraph, EncoderGraph
from export.graphs.transformer import (
    AttentionGraph,
    TransformerEncoderGraph,
    TransformerStepGraph,
    transformer_pools,
)
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer


@dataclass(frozen=True)
class ModelGraphs:
    """A model's graphs as PyTorch modules.

    Args:
        pools: What its rows hold, in fp32.
        encoder: Builds the encoder's.
        decoder_step: Builds a decoder step's.
        attention: Builds the one from a step's queries to its attention; None if the step gives that itself.
        has_capacities, multiplies_states: See `Manifest`.
        vocabulary_size: V.
        num_attention_layers, num_heads: Of the attention over the source; 0 without.
        hidden_size: E', of what the output layer reads.
        returns_memory: Whether a decoder step has the memory as outputs, see `source_attention`.
    """

    pools: Pools
    encoder: Callable[[], EncoderGraph]
    decoder_step: Callable[[], DecoderStepGraph]
    vocabulary_size: int
    num_attention_layers: int
    num_heads: int
    hidden_size: int
    attention: Callable[[], AttentionGraph] | None = None
    has_capacities: bool = True
    multiplies_states: bool = True
    returns_memory: bool = False


def graphs_of(model: EncoderDecoder, *, for_gpu: bool = False) -> ModelGraphs:
    """The graphs of a Transformer or of a recurrent model.

    Args:
        for_gpu: With the operators whose kernels on a GPU read what they are told; a CPU runs both.
    """
    if isinstance(model, Recurrent):
        return ModelGraphs(
            pools=recurrent_pools(model),
            encoder=lambda: RecurrentEncoderGraph(model),
            decoder_step=lambda: RecurrentStepGraph(model),
            vocabulary_size=model.config.vocabulary_size,
            num_attention_layers=int(model.config.has_attention),
            num_heads=int(model.config.has_attention),
            hidden_size=model.config.embedding_size,
        )
    assert isinstance(model, Transformer)
    graphs = _of_transformer(model)
    if not for_gpu:
        return graphs
    return replace(
        graphs,
        pools=gpu_pools(model),
        encoder=lambda: GpuEncoderGraph(model),
        decoder_step=lambda: GpuStepGraph(model),
        attention=lambda: GpuAttentionGraph(model.config.num_heads),
        returns_memory=False,
    )


def _of_transformer(model: Transformer) -> ModelGraphs:
    return ModelGraphs(
        pools=transformer_pools(model),
        encoder=lambda: TransformerEncoderGraph(model),
        decoder_step=lambda: TransformerStepGraph(model),
        vocabulary_size=model.config.vocabulary_size,
        num_attention_layers=model.config.num_decoder_layers,
        num_heads=model.config.num_heads,
        hidden_size=model.config.model_size,
        attention=lambda: AttentionGraph(model.config.num_heads),
        has_capacities=False,
        multiplies_states=False,
        returns_memory=True,
    )
