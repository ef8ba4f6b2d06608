"""The precisions of an artifact: in each, the graphs that may be proven, the most wanted first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from export.contract.graph_names import GraphName
from export.graphs.all_graphs import export_graphs
from export.graphs.of_model import graphs_of
from export.graphs.to_onnx import Exported
from export.proof.sentences import Sentence
from export.quantize.calibration import Largest, largest_values
from export.quantize.known import KnownRounding, known_rounding
from export.quantize.matrices import quantize_graph
from export.quantize.pools import quantize_pools
from model.networks.build import half_model
from model.networks.encoder_decoder import EncoderDecoder
from model.quantization import Quantization
from model.text.tokenizer import Tokenizer

PRECISIONS = ("fp32", "fp16", "int8")
SHORTLIST_PRECISIONS = ("fp32", "int8")
DEVICES = {"fp32": ("cpu",), "int8": ("cpu",), "fp16": ("cuda", "cpu")}


def smaller_graphs(
    precision: str,
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    exact: Mapping[str, Exported],
    sentences: Sequence[Sentence],
    quantization: Quantization | None = None,
) -> Iterator[dict[str, Exported]]:
    """Candidates for a smaller precision, the fastest first, each made when it is asked for.

    Args:
        precision: "fp16" or "int8".
        exact: The model's fp32 graphs, by `GraphName`.
        sentences: Measure what int8 with a constant scale must hold.
        quantization: That of the checkpoint, for int8: where it says so, nothing is rounded or measured.
    """
    if precision == "fp16":
        yield half_graphs(model)
    else:
        yield from int8_graphs(model, tokenizer, exact, sentences, quantization)


def half_graphs(model: EncoderDecoder) -> dict[str, Exported]:
    """The graphs of a model's weights in fp16."""
    return export_graphs(half_model(model), "float16")


def int8_graphs(
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    exact: Mapping[str, Exported],
    sentences: Sequence[Sentence],
    quantization: Quantization | None = None,
) -> Iterator[dict[str, Exported]]:
    """Graphs with int8 weights: fast ones, and for a model that does not bear them more exact ones."""
    graphs = graphs_of(model)
    rounding = known_rounding(model, quantization or {})
    largest = largest_values(graphs, tokenizer, sentences) | rounding.largest
    fast = _quantized(exact, largest, rounding, only_bounded=False)
    if graphs.attention:
        fast.pop(GraphName.COPY_CACHES, None)  # for a GPU, which takes no int8
        kept = (*graphs.pools.caches, *graphs.pools.memory)  # states add up what they round
        in_pools = {spec.name: largest[spec.name] for spec in kept}
        fast = {name: quantize_pools(graph, in_pools) for name, graph in fast.items()}
    yield fast
    yield _quantized(exact, largest, rounding, only_bounded=True)


def _quantized(
    exact: Mapping[str, Exported], largest: Largest, rounding: KnownRounding, *, only_bounded: bool
) -> dict[str, Exported]:
    return {
        name: dataclasses.replace(
            graph, model=quantize_graph(graph.model, largest, rounding.steps, only_bounded=only_bounded)
        )
        for name, graph in exact.items()
    }
