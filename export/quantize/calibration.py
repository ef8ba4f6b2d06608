"""How large the inputs of linear layers and the pools get: what int8 with a constant scale needs to know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from export.contract.tensors import Pools
from export.graphs.of_model import ModelGraphs
from export.proof.sentences import Sentence, spread_by_length, target_of
from export.quantize.matrices import weight_key
from model.text.tokenizer import Tokenizer

Largest = dict[str, float]  # absolute values

_NUM_SENTENCES = 100


@torch.inference_mode()
def largest_values(graphs: ModelGraphs, tokenizer: Tokenizer, sentences: Sequence[Sentence]) -> Largest:
    """By a linear layer's `weight_key` the largest of its input, and by a pool's name the largest in it.

    Sources are encoded and their references fed token by token, through the modules that are exported.
    """
    encoder, step = graphs.encoder(), graphs.decoder_step()
    largest: Largest = {}
    with _watched(encoder, largest), _watched(step, largest):
        for sentence in spread_by_length(sentences, min(_NUM_SENTENCES, len(sentences))):
            target = [tokenizer.special_ids.start, *target_of(sentence, tokenizer)[:-1]]
            pools = _pools(graphs.pools, max(len(sentence.source), len(target)))
            length = torch.tensor([len(sentence.source)])
            num_written = len(graphs.pools.caches) + len(graphs.pools.states)
            written, memory = pools[:num_written], pools[num_written:]
            memory = list(encoder(torch.tensor([sentence.source]), length, torch.tensor([0]), *memory))
            parent = [torch.zeros(1, 1, dtype=torch.int64)] if graphs.pools.states else []
            for position, token in enumerate(target):
                inputs = torch.tensor([[token]]), torch.tensor([position]), length
                outputs = step(*inputs, *parent, *written, *memory)
                written = list(outputs[-num_written:])
            for spec, pool in zip(graphs.pools.specs, (*written, *memory), strict=True):
                largest[spec.name] = max(largest.get(spec.name, 0.0), float(pool.abs().max()))
    return largest


def _pools(pools: Pools, capacity: int) -> list[Tensor]:
    sizes = {"rows": 1, "beam": 1, "hypotheses": 1, "columns": capacity, "source_capacity": capacity}
    return [
        torch.zeros([sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape])
        for spec in pools.specs
    ]


@contextmanager
def _watched(graph: nn.Module, largest: Largest) -> Iterator[None]:
    """Record the inputs of all linear layers."""
    handles = []
    for module in graph.modules():
        if isinstance(module, nn.Linear):

            def record(
                _: nn.Module, inputs: tuple[Tensor], key: str = weight_key(module.weight.T.numpy())
            ) -> None:
                largest[key] = max(largest.get(key, 0.0), float(inputs[0].abs().max()))

            handles.append(module.register_forward_pre_hook(record))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
