"""The variants that are compared, and where everything of the study lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "model/configs/architectures"

WITHOUT_ATTENTION = ("rnn", "lstm", "gru", "gru-every-step", "lstm-reversed")
SCORES = ("lstm-dot", "lstm-scaled-dot", "lstm-cosine", "lstm-general", "lstm-additive", "lstm-hard")
WITH_ATTENTION = ("rnn-general", "gru-general", "lstm-general", "gru-bahdanau")
HEADS = ("transformer-heads-1", "transformer-heads-2", "transformer", "transformer-heads-8")
POSITIONS = ("transformer", "transformer-learned-positions", "transformer-no-positions")
SCALE = ("transformer", "transformer-no-scale")
NORM = ("transformer", "transformer-post-norm")
AGAIN = ("lstm-general-again", "transformer-again")
HOT = ("transformer-hot", "transformer-post-norm-hot")
# Those whose translations are scored by length, and those that are served.
BY_LENGTH = ("rnn", "gru", "gru-every-step", "lstm", "lstm-reversed", "lstm-general", "transformer")
SERVED = ("rnn", "gru", "lstm", "lstm-general", "transformer")
SERVED_INT8 = ("lstm-general", "transformer")

# The order of training: what most pictures need comes first.
VARIANTS = tuple(
    dict.fromkeys(
        (
            *("lstm", "lstm-general", "transformer", "gru", "rnn", "lstm-reversed"),
            *(*SCALE, *NORM, *SCORES, *WITHOUT_ATTENTION, *WITH_ATTENTION, *POSITIONS, *HEADS, *HOT, *AGAIN),
        )
    )
)


@dataclass(frozen=True)
class Places:
    """Folders of a study.

    Args:
        data: Holds the files that the configurations name.
        build: Receives the runs, and a JSON file for each measurement.
    """

    data: Path
    build: Path

    def run(self, variant: str) -> Path:
        """Where a variant is trained."""
        return self.build / "runs" / variant

    def final(self, variant: str) -> Path:
        """A variant's checkpoint after the whole budget."""
        return self.run(variant) / "final"

    def result(self, measurement: str) -> Path:
        """What a measurement found."""
        return self.build / f"{measurement}.json"
