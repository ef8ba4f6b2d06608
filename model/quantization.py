"""What an imported int8 model says of its own rounding: `quantization.json` in a checkpoint, by weight."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "quantization.json"


class QuantizationError(ValueError):
    """The file is damaged."""


@dataclass(frozen=True, kw_only=True)
class WeightQuantization:
    """How one matrix, or a table of embeddings, was rounded.

    Args:
        step: Each value is a whole number from -127 to 127 times this.
        largest_input: The largest absolute value of what the matrix is multiplied with that its makers want
            kept; None where they do not say.
    """

    step: float
    largest_input: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.step, *([] if self.largest_input is None else [self.largest_input])]
        if not all(type(x) in {int, float} and math.isfinite(x) and x > 0 for x in numbers):
            raise QuantizationError(f"{asdict(self)}: must be numbers above 0")


Quantization = Mapping[str, WeightQuantization]  # by the name that a checkpoint has for the weight


def save_quantization(folder: Path, quantization: Quantization) -> None:
    """Write it into a checkpoint."""
    fields = {name: asdict(entry) for name, entry in quantization.items()}
    (folder / FILE_NAME).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def load_quantization(folder: Path) -> dict[str, WeightQuantization]:
    """Read that of a checkpoint; empty if it has none.

    Raises:
        QuantizationError: The file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return {}
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return {name: WeightQuantization(**entry) for name, entry in fields.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise QuantizationError(f"{path} is damaged: {error}") from error
