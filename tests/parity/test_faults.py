"""Graphs broken on purpose: the proof refuses each and its first complaint names the fault."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from export import proof
from export.graph_model import GraphModel
from export.graphs import DecoderStepGraph, EncoderGraph
from export.manifest import BEAM, ENCODER, GREEDY
from export.onnx_graph import Exported, export_decoder_step, export_encoder
from model.transformer import Transformer

OpenGraphs = Callable[[Transformer, Mapping[str, Exported]], GraphModel]
Pools = list[Tensor]


class ReadsSourcePadding(EncoderGraph):
    def forward(
        self, source: Tensor, source_length: Tensor, slot: Tensor, *memory: Tensor
    ) -> tuple[Tensor, ...]:
        return super().forward(source, source_length + 1000, slot, *memory)


class ReadsBehindTheSource(DecoderStepGraph):
    def forward(
        self, token: Tensor, position: Tensor, source_length: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        return super().forward(token, position, source_length + 1000, *rest)


class ReadsEveryColumn(DecoderStepGraph):
    def _layers(
        self,
        token: Tensor,
        position: Tensor,
        is_masked: Tensor,
        source_is_masked: Tensor | None,
        caches: Pools,
        memory: Pools,
    ) -> tuple[Tensor, Pools]:
        nothing = torch.zeros_like(is_masked)
        return super()._layers(token, position, nothing, source_is_masked, caches, memory)


class SwapsRows(DecoderStepGraph):
    def _layers(
        self,
        token: Tensor,
        position: Tensor,
        is_masked: Tensor,
        source_is_masked: Tensor | None,
        caches: Pools,
        memory: Pools,
    ) -> tuple[Tensor, Pools]:
        hidden, written = super()._layers(token, position, is_masked, source_is_masked, caches, memory)
        return hidden, [cache.flip(0) for cache in written]


class OneLater(nn.Module):
    def __init__(self, positions: nn.Module) -> None:
        super().__init__()
        self.positions = positions

    def forward(self, position: Tensor) -> Tensor:
        return self.positions(position + 1)  # type: ignore[no-any-return]


class ShiftsPositions(DecoderStepGraph):
    def __init__(self, model: Transformer) -> None:
        shifted = copy.deepcopy(model)
        shifted.target_embedding.positions = OneLater(shifted.target_embedding.positions)
        super().__init__(shifted)


FAULTS: dict[str, tuple[str, Callable[[Transformer], EncoderGraph | DecoderStepGraph], str]] = {
    "positions shifted by one": (GREEDY, ShiftsPositions, "positions"),
    "causal mask off": (GREEDY, ReadsEveryColumn, "causal_mask"),
    "cache rows swapped": (GREEDY, SwapsRows, "cache_rows"),
    "source mask off in the encoder": (ENCODER, ReadsSourcePadding, "source_mask"),
    "source mask off in the decoder": (GREEDY, ReadsBehindTheSource, "source_mask"),
    "ancestor mask off": (BEAM, lambda model: ReadsEveryColumn(model, 2), "beams"),
}


def export(graph: EncoderGraph | DecoderStepGraph) -> Exported:
    if isinstance(graph, EncoderGraph):
        return export_encoder(graph, "float32")
    return export_decoder_step(graph, "float32")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_and_named(
    small_model: Transformer,
    exported: dict[str, Exported],
    open_graphs: OpenGraphs,
    sentences: list[proof.Sentence],
    fault: str,
) -> None:
    name, broken, check = FAULTS[fault]
    graphs = open_graphs(small_model, exported | {name: export(broken(small_model))})
    checks = proof.log_prob_checks(small_model, graphs, sentences)
    assert [c.name for c in checks if not c.passed][:1] == [check]
    with pytest.raises(proof.ProofError, match=re.escape(f"the proof refuses this artifact: {check}: ")):
        proof.require(checks)


def test_graphs_without_a_fault_pass_every_check(
    small_model: Transformer,
    exported: dict[str, Exported],
    open_graphs: OpenGraphs,
    sentences: list[proof.Sentence],
) -> None:
    graphs = open_graphs(small_model, exported)
    proof.require(proof.log_prob_checks(small_model, graphs, sentences))
    proof.require(proof.neighbour_checks(small_model, graphs, sentences))


def test_graphs_of_other_weights_are_refused_by_every_check(
    make_model: Callable[..., Transformer],
    small_model: Transformer,
    exported: dict[str, Exported],
    open_graphs: OpenGraphs,
    sentences: list[proof.Sentence],
) -> None:
    other = make_model(seed=1, num_encoder_layers=1)
    graphs = open_graphs(small_model, exported)
    checks = proof.log_prob_checks(other, graphs, sentences)
    assert not [check.name for check in checks if check.passed]


def test_what_could_not_be_measured_does_not_pass() -> None:
    check = proof.Check(name="positions", what="difference", measured=float("nan"), limit=1.0)
    with pytest.raises(proof.ProofError, match="positions: nan, limit 1 "):
        proof.require([check])
