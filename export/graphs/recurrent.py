"""The two graphs of a recurrent model: pools of decoder states, and of the source positions attended to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from export.contract.tensors import SOURCE_AXIS, Pools, TensorSpec
from export.graphs.recurrent_layer import layer_weights, recurrent_layer
from export.graphs.step import DecoderStepGraph, EncoderGraph, StepInputs, StepOutputs, is_beyond
from model.networks.cells import num_states, stack_step
from model.networks.recurrent import Recurrent, reverse_each

_STATES = ("hidden", "cell")


def recurrent_pools(model: Recurrent) -> Pools:
    """The state of each hypothesis; of each source the first state, and what the decoder looks at."""
    config = model.config
    names = _STATES[: num_states(config.cell)]
    state = (config.num_decoder_layers, config.model_size)
    memory = [TensorSpec(f"first_{name}", "float32", ("rows", *state)) for name in names]
    if model.decoder.feeds_context:
        memory.append(TensorSpec("source_context", "float32", ("rows", config.model_size)))
    if model.decoder.attention is not None:
        kinds = ("positions", "keys") if model.decoder.attention.has_keys else ("positions",)
        shape = ("rows", SOURCE_AXIS, config.model_size)
        memory += [TensorSpec(f"source_{kind}", "float32", shape) for kind in kinds]
    states = tuple(TensorSpec(f"state_{name}", "float32", ("rows", "beam", *state)) for name in names)
    return Pools(states=states, memory=tuple(memory))


class RecurrentEncoderGraph(EncoderGraph):
    """The source read at its own length, in both directions if the model does.

    Its recurrent layers stay in fp32 whatever the model's type: on CPU ONNX Runtime has them in no other
    one, and crashes where it would have to convert.
    """

    def __init__(self, model: Recurrent) -> None:
        super().__init__(recurrent_pools(model))
        self.model = model
        for i in range(model.config.num_encoder_layers):
            weights = layer_weights(model.encoder.stack, model.config.cell, i)
            for name, weight in zip(("from_input", "from_state", "bias"), weights, strict=True):
                self.register_buffer(f"{name}_{i}", weight.float())

    def encode(self, source: Tensor, source_length: Tensor) -> Sequence[Tensor]:
        """First states (b, L, E), context (b, E), positions and keys (b, s, E), as far as there are pools."""
        batch = source.shape[0]
        # ONNX Runtime multiplies a single row by another kernel: with one row more there is never one.
        source = torch.cat((source, source[:1]))
        source_length = torch.cat((source_length, source_length[:1]))
        encoder = self.model.encoder
        if encoder.reverse_source:
            source = reverse_each(source, source_length)
        positions, context = self._layers(encoder.embedding(source), source_length.int())
        if encoder.reverse_source:
            positions = reverse_each(positions, source_length)
        memory = self.model.memory_of(positions, context)
        found = {f"first_{name}": tensor for name, tensor in zip(_STATES, memory.state, strict=False)}
        found |= {"source_context": context, "source_positions": positions}
        if memory.keys is not None:
            found["source_keys"] = memory.keys
        return [found[spec.name][:batch] for spec in self.pools.memory]

    def _layers(self, embedded: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        x = embedded.transpose(0, 1).float()  # (s, b, I)
        last = x
        for i in range(self.model.config.num_encoder_layers):
            weights = [getattr(self, f"{name}_{i}") for name in ("from_input", "from_state", "bias")]
            states, last = recurrent_layer(x, length, *weights, self.model.config.cell)
            x = states.transpose(1, 2).flatten(2)  # (s, b, D·h)
        positions, context = x.transpose(0, 1), last.transpose(0, 1).flatten(1)  # (b, s, E), (b, E)
        return positions.to(embedded.dtype), context.to(embedded.dtype)


class RecurrentStepGraph(DecoderStepGraph):
    """One step of a recurrent decoder; a hypothesis goes on from the state of its parent."""

    def __init__(self, model: Recurrent) -> None:
        super().__init__(model, recurrent_pools(model))
        self.model = model

    def step(
        self, inputs: StepInputs, caches: list[Tensor], states: list[Tensor], memory: list[Tensor]
    ) -> StepOutputs:
        """Advance by one token: states (n, W, L, E), memory as `recurrent_pools` says, no caches."""
        del caches
        decoder = self.model.decoder
        known = dict(zip((spec.name for spec in self.pools.memory), memory, strict=True))
        first, parent = memory[: len(states)], inputs.parent
        assert parent is not None
        state = tuple(_previous(s, f, parent, inputs.position) for s, f in zip(states, first, strict=True))
        x = decoder.embed(inputs.token, known.get("source_context"))  # (n, W, I)
        if decoder.attention is None:
            top, state = stack_step(decoder.stack, x, state)
            return StepOutputs(decoder.read_out(top, None), (), states=state)
        positions = known["source_positions"]
        keys = known.get("source_keys", positions)
        is_padding = is_beyond(inputs.source_length, positions.shape[1])
        if decoder.attends_before:
            attended, weights = decoder.attention(state[0][:, :, -1], keys, positions, is_padding)
            x = torch.cat((x, attended), dim=-1)
            top, state = stack_step(decoder.stack, x, state)
        else:
            top, state = stack_step(decoder.stack, x, state)
            attended, weights = decoder.attention(top, keys, positions, is_padding)
        return StepOutputs(decoder.read_out(top, attended), (weights[:, None],), states=state)


def _previous(state: Tensor, first: Tensor, parent: Tensor, position: Tensor) -> Tensor:
    """The state (n, W, L, E) that each hypothesis goes on from; at position 0 the row's first one."""
    state = state.gather(1, parent[:, :, None, None].expand_as(state))
    return torch.where((position == 0)[:, None, None, None], first[:, None], state)
