"""Recurrent encoder-decoders: one context vector (Sutskever et al. 2014, Cho et al. 2014), or attention."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.networks.cells import CELLS, State, num_states, stack_step
from model.networks.config import RecurrentConfig
from model.networks.embeddings import Embedding
from model.networks.encoder_decoder import Decoded, EncoderDecoder, length_of
from model.networks.source_attention import SourceAttention


@dataclass(frozen=True)
class RecurrentMemory:
    """What the decoder knows of the source.

    Args:
        state: The decoder's first state, one or two tensors (B, L, E).
        context: (B, E), the encoder's last state.
        positions: (B, S, E), each source position.
        keys: (B, S, E), what queries are compared with; None without attention.
    """

    state: State
    context: Tensor
    positions: Tensor
    keys: Tensor | None

    def expand(self, batch: int) -> RecurrentMemory:
        """One source's memory for a whole batch of prefixes."""
        if self.context.shape[0] == batch:
            return self
        return replace(
            self,
            state=tuple(s.expand(batch, -1, -1) for s in self.state),
            context=self.context.expand(batch, -1),
        )


def reverse_each(x: Tensor, length: Tensor) -> Tensor:
    """Each row's first `length` entries in opposite order, what follows in place; (B, S, ...).

    >>> reverse_each(torch.tensor([[5, 6, 7, 0]]), torch.tensor([3])).tolist()
    [[7, 6, 5, 0]]
    """
    position = torch.arange(x.shape[1], device=x.device)  # (S)
    mirrored = length[:, None] - 1 - position  # (B, S)
    index = torch.where(mirrored >= 0, mirrored, position)
    return x.gather(1, index.reshape(*index.shape, *[1] * (x.dim() - 2)).expand_as(x))


class RecurrentEncoder(nn.Module):
    """Reads a source in one direction or both, each source at its own length."""

    def __init__(self, config: RecurrentConfig, tokens: nn.Embedding) -> None:
        super().__init__()
        self.reverse_source = config.reverse_source
        self.embedding = Embedding(tokens, None, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.stack = CELLS[config.cell](
            config.embedding_size,
            config.model_size // 2 if config.bidirectional else config.model_size,
            config.num_encoder_layers,
            batch_first=True,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.num_encoder_layers > 1 else 0.0,
        )

    def forward(self, source: Tensor, source_is_padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """Ids (B, S) to positions (B, S, E), zero at padding, and the last state of each source (B, E)."""
        length = length_of(source, source_is_padding)
        if self.reverse_source:
            source = reverse_each(source, length)
        embedded = self.embedding(source)  # (B, S, E')
        if source_is_padding is None:
            positions, state = self.stack(embedded)
        else:
            packed = pack_padded_sequence(embedded, length.cpu(), batch_first=True, enforce_sorted=False)
            packed_positions, state = self.stack(packed)
            positions, _ = pad_packed_sequence(
                packed_positions, batch_first=True, total_length=source.shape[1]
            )
        if self.reverse_source:
            positions = reverse_each(positions, length)
        hidden = state[0] if isinstance(state, tuple) else state  # (layers · directions, B, h)
        last = hidden[-2:] if self.stack.bidirectional else hidden[-1:]  # (directions, B, h)
        return self.dropout(positions), last.transpose(0, 1).flatten(1)


class RecurrentDecoder(nn.Module):
    """Writes the target token by token from a state, and from the source where it attends to it.

    What the output layer reads is tanh(W [attended; state]) (Luong et al. 2015, equation 5), or
    tanh(W state) without attention.
    """

    def __init__(self, config: RecurrentConfig, tokens: nn.Embedding) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(tokens, None, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.feeds_context = config.context == "every_step"
        self.attends_before = config.decoder == "bahdanau"
        num_fed = int(self.feeds_context) + int(self.attends_before)
        self.stack = CELLS[config.cell](
            config.embedding_size + num_fed * config.model_size,
            config.model_size,
            config.num_decoder_layers,
            batch_first=True,
            dropout=config.dropout if config.num_decoder_layers > 1 else 0.0,
        )
        self.attention = SourceAttention(config) if config.has_attention else None
        self.readout = nn.Linear((1 + config.has_attention) * config.model_size, config.embedding_size)

    def embed(self, target: Tensor, context: Tensor | None) -> Tensor:
        """Ids (B, T), with the context vectors (B, E) where every step is fed one: (B, T, I)."""
        embedded = self.embedding(target)  # (B, T, E')
        if not self.feeds_context:
            return embedded  # type: ignore[no-any-return]
        assert context is not None
        return torch.cat((embedded, context[:, None].expand(-1, target.shape[1], -1)), dim=-1)

    def read_out(self, state: Tensor, attended: Tensor | None) -> Tensor:
        """The last layer's states (B, T, E) and what was attended to (B, T, E): hidden (B, T, E')."""
        both = state if attended is None else torch.cat((attended, state), dim=-1)
        return self.dropout(torch.tanh(self.readout(both)))  # type: ignore[no-any-return]

    def forward(self, target: Tensor, memory: RecurrentMemory, source_is_padding: Tensor | None) -> Decoded:
        """Run over targets (B, T)."""
        x = self.embed(target, memory.context)  # (B, T, I)
        if self.attends_before:
            return self._attend_before_each_step(x, memory, source_is_padding)
        states = tuple(s.transpose(0, 1).contiguous() for s in memory.state)  # (L, B, E)
        top, _ = self.stack(x, states if len(states) > 1 else states[0])  # (B, T, E)
        if self.attention is None:
            return Decoded(self.read_out(top, None), ())
        assert memory.keys is not None
        attended, weights = self.attention(top, memory.keys, memory.positions, source_is_padding)
        return Decoded(self.read_out(top, attended), (weights[:, None],))

    def _attend_before_each_step(
        self, x: Tensor, memory: RecurrentMemory, source_is_padding: Tensor | None
    ) -> Decoded:
        assert self.attention is not None
        state = memory.state
        tops, all_attended, all_weights = [], [], []
        for t in range(x.shape[1]):
            query = state[0][:, -1:]  # (B, 1, E)
            attended, weights = self.attention(query, memory.keys, memory.positions, source_is_padding)
            top, state = stack_step(self.stack, torch.cat((x[:, t], attended[:, 0]), dim=-1), state)
            tops.append(top)
            all_attended.append(attended)
            all_weights.append(weights)
        hidden = self.read_out(torch.stack(tops, dim=1), torch.cat(all_attended, dim=1))  # (B, T, E')
        return Decoded(hidden, (torch.cat(all_weights, dim=1)[:, None],))


class Recurrent(EncoderDecoder):
    """A recurrent encoder and decoder; its memory is a `RecurrentMemory`."""

    config: RecurrentConfig

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        source_tokens = nn.Embedding(config.vocabulary_size, config.embedding_size)
        target_tokens = (
            source_tokens
            if config.tie_embeddings
            else nn.Embedding(config.vocabulary_size, config.embedding_size)
        )
        self.encoder = RecurrentEncoder(config, source_tokens)
        self.decoder = RecurrentDecoder(config, target_tokens)
        state_size = num_states(config.cell) * config.num_decoder_layers * config.model_size
        self.bridge = nn.Linear(config.model_size, state_size)
        self.output = nn.Linear(config.embedding_size, config.vocabulary_size, bias=False)
        self.initialise()
        if config.tie_embeddings:
            self.output.weight = target_tokens.weight

    def first_state(self, context: Tensor) -> State:
        """The decoder's first state from the encoder's last (B, E): tensors (B, L, E).

        tanh(W context) (Cho et al. 2014, appendix A.1.2), so that the two stacks may differ in depth.
        """
        bridged = torch.tanh(self.bridge(context))  # (B, states · L · E)
        each = bridged.unflatten(-1, (-1, self.config.num_decoder_layers, self.config.model_size))
        return tuple(each.unbind(dim=1))

    def memory_of(self, positions: Tensor, context: Tensor) -> RecurrentMemory:
        """What the decoder needs of source positions (B, S, E) and the encoder's last state (B, E)."""
        attention = self.decoder.attention
        keys = None if attention is None else attention.keys(positions)
        return RecurrentMemory(self.first_state(context), context, positions, keys)

    def encode(self, source: Tensor, source_is_padding: Tensor | None = None) -> RecurrentMemory:
        """Encode sources (B, S), see `EncoderDecoder`."""
        return self.memory_of(*self.encoder(source, source_is_padding))

    def decode_states(
        self, target: Tensor, memory: RecurrentMemory, source_is_padding: Tensor | None = None
    ) -> Decoded:
        """Run the decoder over targets (B, T), see `EncoderDecoder`."""
        return self.decoder(target, memory.expand(target.shape[0]), source_is_padding)  # type: ignore[no-any-return]
