"""Graphs broken on purpose: the proof refuses each and its first complaint names the fault."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.contract.graph_names import GraphName
from export.folder import write_graphs
from export.graphs.all_graphs import export_attention, export_decoder_step, export_encoder, export_graphs
from export.graphs.of_model import graphs_of
from export.graphs.recurrent import RecurrentEncoderGraph, RecurrentStepGraph
from export.graphs.step import StepInputs, StepOutputs
from export.graphs.to_onnx import Exported
from export.graphs.transformer import AttentionGraph, TransformerEncoderGraph, TransformerStepGraph
from export.proof.checks import Check, ProofError, require
from export.proof.graph_model import Arrays, GraphModel
from export.proof.sentences import Sentence
from export.proof.step_checks import log_prob_checks, neighbour_checks
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer

OpenGraphs = Callable[[EncoderDecoder, Mapping[str, Exported]], GraphModel]
Pools = list[Tensor]


class ReadsSourcePadding(TransformerEncoderGraph):
    def encode(self, source: Tensor, source_length: Tensor) -> Sequence[Tensor]:
        return super().encode(source, torch.ones_like(source_length) * source.shape[1])


class ReadsBehindTheSource(TransformerStepGraph):
    """All that a row has room for."""

    def attend_to_source(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, last: Tensor
    ) -> tuple[Tensor, ...]:
        return super().attend_to_source(i, x, keys, values, torch.ones_like(last) * (keys.shape[2] - 1))


class OverlooksTheEndOfTheSource(TransformerStepGraph):
    """But for sources of one token."""

    def attend_to_source(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, last: Tensor
    ) -> tuple[Tensor, ...]:
        return super().attend_to_source(i, x, keys, values, (last - 1).clamp(min=0))


class ReadsEveryColumn(TransformerStepGraph):
    """Writes the column that it should, and attends from the last one there is."""

    def attend_to_itself(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, column: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, keys, values = super().attend_to_itself(i, x, keys, values, column)
        last = torch.full_like(column, keys.shape[2] - 1)
        return super().attend_to_itself(i, x, keys, values, last)[0], keys, values


class SwapsRows(TransformerStepGraph):
    def step(self, inputs: StepInputs, caches: Pools, states: Pools, memory: Pools) -> StepOutputs:
        outputs = super().step(inputs, caches, states, memory)
        return dataclasses.replace(outputs, caches=[cache.flip(0) for cache in outputs.caches])


class ReadsTheSourceOfAnotherRow(TransformerStepGraph):
    def attend_to_source(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, last: Tensor
    ) -> tuple[Tensor, ...]:
        return super().attend_to_source(i, x, keys.roll(1, 0), values.roll(1, 0), last)


class SwapsHypotheses(TransformerStepGraph):
    """Within a row, where there are several."""

    def step(self, inputs: StepInputs, caches: Pools, states: Pools, memory: Pools) -> StepOutputs:
        outputs = super().step(inputs, caches, states, memory)
        own = torch.arange(inputs.token.numel())  # (n·W)
        other = own.reshape(inputs.token.shape).flip(1).flatten()
        swapped = [cache.index_put((own,), cache[other]) for cache in outputs.caches]
        return dataclasses.replace(outputs, caches=swapped)


class OneLater(nn.Module):
    def __init__(self, positions: nn.Module) -> None:
        super().__init__()
        self.positions = positions

    def forward(self, position: Tensor) -> Tensor:
        return self.positions(position + 1)  # type: ignore[no-any-return]


class ShiftsPositions(TransformerStepGraph):
    def __init__(self, model: Transformer) -> None:
        shifted = copy.deepcopy(model)
        assert shifted.target_embedding.positions is not None
        shifted.target_embedding.positions = OneLater(shifted.target_embedding.positions)
        super().__init__(shifted)


class ReturnsQueriesOfTheNextHead(TransformerStepGraph):
    def attend_to_source(
        self, i: int, x: Tensor, keys: Tensor, values: Tensor, last: Tensor
    ) -> tuple[Tensor, ...]:
        attended, query, keys, values = super().attend_to_source(i, x, keys, values, last)
        return attended, query.roll(self.model.config.head_size, -1), keys, values


class ReturnsAttentionOfTheNextHead(AttentionGraph):
    def forward(self, source_length: Tensor, *queries_and_keys: Tensor) -> tuple[Tensor, ...]:
        return tuple(weights.roll(1, 1) for weights in super().forward(source_length, *queries_and_keys))


class WeighsWhatIsBehindTheSource(AttentionGraph):
    def forward(self, source_length: Tensor, *queries_and_keys: Tensor) -> tuple[Tensor, ...]:
        return super().forward(source_length + 1000, *queries_and_keys)


class ForgetsTheLengthOfASource(RecurrentEncoderGraph):
    def encode(self, source: Tensor, source_length: Tensor) -> Sequence[Tensor]:
        return super().encode(source, torch.ones_like(source_length) * source.shape[1])


class AttendsBehindTheSource(RecurrentStepGraph):
    def step(self, inputs: StepInputs, caches: Pools, states: Pools, memory: Pools) -> StepOutputs:
        longer = dataclasses.replace(inputs, source_length=inputs.source_length + 1000)
        return super().step(longer, caches, states, memory)


class GoesOnFromAnyState(RecurrentStepGraph):
    def step(self, inputs: StepInputs, caches: Pools, states: Pools, memory: Pools) -> StepOutputs:
        late = dataclasses.replace(inputs, position=inputs.position + 1)
        return super().step(late, caches, states, memory)


class KeepsTheOrderOfHypotheses(RecurrentStepGraph):
    def step(self, inputs: StepInputs, caches: Pools, states: Pools, memory: Pools) -> StepOutputs:
        own = torch.arange(inputs.token.shape[1]).expand(inputs.token.shape)
        return super().step(dataclasses.replace(inputs, parent=own), caches, states, memory)


class NeverReorders(GraphModel):
    """Whoever runs the graphs forgets to copy a parent's row of the caches."""

    def _reordered(self, parent: NDArray[np.int64], pools: Arrays) -> Arrays:
        return {}


FAULTS: dict[str, tuple[str, type[nn.Module], str]] = {
    "positions shifted by one": (GraphName.DECODER_STEP, ShiftsPositions, "positions"),
    "causal mask off": (GraphName.DECODER_STEP, ReadsEveryColumn, "causal_mask"),
    "cache rows swapped": (GraphName.DECODER_STEP, SwapsRows, "cache_rows"),
    "source mask off in the encoder": (GraphName.ENCODER, ReadsSourcePadding, "source_mask"),
    "source mask off in the decoder": (GraphName.DECODER_STEP, ReadsBehindTheSource, "source_mask"),
    "memory rows swapped": (GraphName.DECODER_STEP, ReadsTheSourceOfAnotherRow, "cache_rows"),
    "hypotheses of a row swapped": (GraphName.DECODER_STEP, SwapsHypotheses, "beams"),
    "last source position overlooked": (GraphName.DECODER_STEP, OverlooksTheEndOfTheSource, "positions"),
    "heads of queries mixed up": (GraphName.DECODER_STEP, ReturnsQueriesOfTheNextHead, "attention"),
    "heads of attention mixed up": (GraphName.ATTENTION, ReturnsAttentionOfTheNextHead, "attention"),
    "source mask off in attention": (GraphName.ATTENTION, WeighsWhatIsBehindTheSource, "attention"),
}
RECURRENT_FAULTS: dict[str, tuple[str, type[nn.Module], str]] = {
    "lengths ignored by the encoder": (GraphName.ENCODER, ForgetsTheLengthOfASource, "source_mask"),
    "source mask off in the decoder": (GraphName.DECODER_STEP, AttendsBehindTheSource, "source_mask"),
    "first state ignored": (GraphName.DECODER_STEP, GoesOnFromAnyState, "recurrence"),
    "states not reordered": (GraphName.DECODER_STEP, KeepsTheOrderOfHypotheses, "beams"),
}


def replaced(
    model: EncoderDecoder, exported: Mapping[str, Exported], name: str, graph: Any
) -> dict[str, Exported]:
    """The graphs with one of them broken."""
    graphs = graphs_of(model)
    if name == GraphName.ATTENTION:
        broken = dataclasses.replace(graphs, attention=partial(graph, graphs.num_heads))
        return {**exported, name: export_attention(broken, "float32")}
    if name == GraphName.ENCODER:
        broken = dataclasses.replace(graphs, encoder=partial(graph, model))
        return {**exported, name: export_encoder(broken, "float32")}
    broken = dataclasses.replace(graphs, decoder_step=partial(graph, model))
    return {**exported, name: export_decoder_step(broken, "float32")}


@pytest.fixture(scope="module")
def recurrent(make_recurrent: Callable[..., Recurrent]) -> Recurrent:
    return make_recurrent(cell="lstm", attention="general", num_encoder_layers=1)


@pytest.fixture(scope="module")
def exported_recurrent(recurrent: Recurrent) -> dict[str, Exported]:
    return export_graphs(recurrent, "float32")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_and_named(
    small_model: Transformer,
    exported: dict[str, Exported],
    open_graphs: OpenGraphs,
    sentences: list[Sentence],
    fault: str,
) -> None:
    name, broken, check = FAULTS[fault]
    refused_for(
        small_model, open_graphs(small_model, replaced(small_model, exported, name, broken)), sentences, check
    )


@pytest.mark.parametrize("fault", RECURRENT_FAULTS)
def test_a_fault_of_a_recurrent_model_is_refused_and_named(
    recurrent: Recurrent,
    exported_recurrent: dict[str, Exported],
    open_graphs: OpenGraphs,
    sentences: list[Sentence],
    fault: str,
) -> None:
    name, broken, check = RECURRENT_FAULTS[fault]
    graphs = open_graphs(recurrent, replaced(recurrent, exported_recurrent, name, broken))
    refused_for(recurrent, graphs, sentences, check)


def test_hypotheses_whose_caches_are_not_reordered_are_refused_and_named(
    small_model: Transformer, exported: dict[str, Exported], tmp_path: Path, sentences: list[Sentence]
) -> None:
    write_graphs(tmp_path, exported)
    graphs = NeverReorders(tmp_path, graphs_of(small_model).pools, small_model.special_ids)
    refused_for(small_model, graphs, sentences, "beams")


def refused_for(model: EncoderDecoder, graphs: GraphModel, sentences: list[Sentence], check: str) -> None:
    checks = log_prob_checks(model, graphs, sentences)
    assert [c.name for c in checks if not c.passed][:1] == [check]
    with pytest.raises(ProofError, match=re.escape(f"the proof refuses this artifact: {check}: ")):
        require(checks)


def test_graphs_without_a_fault_pass_every_check(
    small_model: Transformer,
    exported: dict[str, Exported],
    open_graphs: OpenGraphs,
    sentences: list[Sentence],
) -> None:
    graphs = open_graphs(small_model, exported)
    require(log_prob_checks(small_model, graphs, sentences))
    require(neighbour_checks(small_model, graphs, sentences))


def test_graphs_of_other_weights_are_refused_by_every_check(
    make_model: Callable[..., Transformer],
    small_model: Transformer,
    exported: dict[str, Exported],
    open_graphs: OpenGraphs,
    sentences: list[Sentence],
) -> None:
    other = make_model(seed=1, num_encoder_layers=1)
    graphs = open_graphs(small_model, exported)
    checks = log_prob_checks(other, graphs, sentences)
    right = [check.name for check in checks if check.passed]
    assert right == ["candidates"]  # the best of its own log-probabilities, whatever the weights


def test_what_could_not_be_measured_does_not_pass() -> None:
    check = Check(name="positions", what="difference", measured=float("nan"), limit=1.0)
    with pytest.raises(ProofError, match="positions: nan, limit 1 "):
        require([check])
