"""What every translator here has in common: encode a source once, then score tokens after target prefixes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.networks.config import ModelConfig
from model.text.special_ids import SpecialIds


@dataclass(frozen=True)
class Decoded:
    """What the decoder knows before it scores words.

    Args:
        hidden: (B, T, E'), what the output layer reads.
        attention: The weights of each decoder layer over the source, each (B, H, T, S), summing to 1 over
            S and exactly zero at padding; none for a model without attention.
    """

    hidden: Tensor
    attention: tuple[Tensor, ...]


class EncoderDecoder(nn.Module, ABC):
    """Translates token ids to token ids.

    `encode` runs once for a sentence; `decode_step` scores the next token of given prefixes and
    recomputes them from the start each time: slow and obvious, it is what every faster way is
    held against.
    """

    config: ModelConfig
    output: nn.Linear

    @property
    def special_ids(self) -> SpecialIds:
        """The ids of padding, unknown text, start and end in its vocabulary."""
        return self.config.special_ids

    @abstractmethod
    def encode(self, source: Tensor, source_is_padding: Tensor | None = None) -> Any:
        """Read the source.

        Args:
            source: Token ids (B, S).
            source_is_padding: (B, S), True at padding; None when there is none.

        Returns:
            The memory that `decode_states` attends to, whatever the architecture makes of it.
        """

    @abstractmethod
    def decode_states(self, target: Tensor, memory: Any, source_is_padding: Tensor | None = None) -> Decoded:
        """Run the decoder over known targets (teacher forcing).

        Args:
            target: Token ids (B, T), the start id first. Padding may only follow at the end: no position
                looks at a later one.
            memory: From `encode`, of B sources or of one for all.
            source_is_padding: As for `encode`.
        """

    def decode(self, target: Tensor, memory: Any, source_is_padding: Tensor | None = None) -> Tensor:
        """Score every next token of known targets at once, arguments as for `decode_states`.

        Returns:
            Logits (B, T, V); those at t score the token after target[:, t].
        """
        return self.output(self.decode_states(target, memory, source_is_padding).hidden)  # type: ignore[no-any-return]

    def decode_step(self, prefix: Tensor, memory: Any, source_is_padding: Tensor | None = None) -> Tensor:
        """Score the token that follows each prefix.

        Args: as for `decode`, with prefixes (B, t) of one length.

        Returns:
            Log-probabilities (B, V), fp32.
        """
        return self.decode_step_with_hidden(prefix, memory, source_is_padding)[0]

    def decode_step_with_hidden(
        self, prefix: Tensor, memory: Any, source_is_padding: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`decode_step`, and the hidden state (B, E') of each prefix' last token."""
        hidden = self.decode_states(prefix, memory, source_is_padding).hidden[:, -1]  # (B, E')
        return self.output(hidden).float().log_softmax(dim=-1), hidden

    def forward(self, source: Tensor, target: Tensor, source_is_padding: Tensor | None = None) -> Tensor:
        """Encode, then decode with teacher forcing: logits (B, T, V)."""
        return self.decode(target, self.encode(source, source_is_padding), source_is_padding)

    def initialise(self) -> None:
        """Fresh weights: Xavier for linear layers (Glorot & Bengio 2010), N(0, 1/size) for embeddings.

        Recurrent cells keep PyTorch's, uniform in ±1/√h.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif type(module) is nn.Embedding:
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)


def length_of(source: Tensor, source_is_padding: Tensor | None) -> Tensor:
    """Tokens of each source: (B)."""
    if source_is_padding is None:
        return torch.full((source.shape[0],), source.shape[1], device=source.device)
    return (~source_is_padding).sum(dim=1)
