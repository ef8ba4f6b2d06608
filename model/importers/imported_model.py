"""What every importer makes: a foreign model as ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from model.checkpoint import save_checkpoint
from model.networks.transformer import Transformer
from model.quantization import Quantization, save_quantization
from model.shortlist.shortlist import Shortlist
from model.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class ImportedModel:
    """A foreign model as ours.

    Args:
        shortlist: None if it came without one.
        quantization: Of the weights that are int8 in its files.
        omissions: Files that it does without, and why.
    """

    model: Transformer
    tokenizer: Tokenizer
    shortlist: Shortlist | None = None
    quantization: Quantization = field(default_factory=dict)
    omissions: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        save_checkpoint(folder, self.model, self.tokenizer)
        if self.shortlist is not None:
            self.shortlist.save(folder)
        if self.quantization:
            save_quantization(folder, self.quantization)
