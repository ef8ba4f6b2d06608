"""What a decode step should take on cards that nobody has rented yet: the table of docs/gpu.md.

    python -m tests.cuda.roofline

A prediction from sizes and data sheets, for `make gpu-check` to confirm or refute. What is assumed is said
here, each with its name; nothing of it was measured on a card, but for the searches, on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

HALF, SINGLE = 2, 4  # bytes
SOURCE_TOKENS, TARGET_TOKENS = 30, 30  # of a sentence; a step in its midst has half of the latter behind it
SCORE_PASSES = 4  # logits written and read, log-probabilities written and read, each in single precision
LAUNCHES_PER_LAYER, LAUNCHES_PER_STEP = 22, 16
LAUNCH_SECONDS = 1.5e-6  # of a kernel within a replay that has nothing to do
NUM_REPLAYS, NUM_COPIES, NUM_WAITS = 3, 2, 1  # tests/cuda/test_on_a_stand_in.py holds them
REPLAY_SECONDS, COPY_SECONDS, WAIT_SECONDS = 7e-6, 4e-6, 10e-6
NUM_INDEX_COPIES, REORDER_LAUNCHES, REORDER_LAUNCHES_PER_LAYER = 3, 6, 6  # of beams' columns, not captured
UNCAPTURED_SECONDS = 4e-6  # of a launch that ONNX Runtime makes itself
SEARCH_SECONDS = {1: 1.5e-6, 4: 22e-6}  # of a sequence by width, in Python
ROWS, WIDTHS = (1, 96), (1, 4)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A Transformer's decoder: E, F, L and V."""

    name: str
    model_size: int
    feed_forward_size: int
    num_layers: int
    vocabulary_size: int

    @property
    def num_weights(self) -> int:
        """That a step multiplies: a source's keys and values are made by the encoder's run."""
        size = self.model_size
        layer = 4 * size**2 + 2 * size**2 + 2 * size * self.feed_forward_size
        return self.num_layers * layer + self.vocabulary_size * size


@dataclass(frozen=True, kw_only=True)
class Card:
    """What its data sheet says: bytes and dense fp16 operations a second."""

    name: str
    bandwidth: float
    rate: float


MODELS = (
    Model(name="bundled", model_size=256, feed_forward_size=1024, num_layers=2, vocabulary_size=8_000),
    Model(name="OPUS-MT", model_size=512, feed_forward_size=2048, num_layers=6, vocabulary_size=58_101),
    Model(name="NLLB-600M", model_size=1024, feed_forward_size=4096, num_layers=12, vocabulary_size=256_206),
)
CARDS = (
    Card(name="H200", bandwidth=4.8e12, rate=989e12),
    Card(name="L4", bandwidth=0.3e12, rate=121e12),
    Card(name="A10G", bandwidth=0.6e12, rate=70e12),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a step's seconds go.

    Args:
        weights: Read once, or multiplied, whichever takes longer.
        caches: Of the target and of the source, read.
        scores: Of the whole vocabulary.
        launches: Of kernels, within replays.
        round_trips: Replays, copies and the wait; and what reorders the columns of beams.
        search: In Python, sequence by sequence.
    """

    weights: float
    caches: float
    scores: float
    launches: float
    round_trips: float
    search: float

    @property
    def total(self) -> float:
        """A kernel's launch hides behind the work of others, where there is that much."""
        work = self.weights + self.caches + self.scores
        return max(work, self.launches) + self.round_trips + self.search


def step_of(model: Model, card: Card, rows: int, width: int) -> Step:
    """The prediction for W hypotheses of each row."""
    hypotheses = rows * width
    read, multiplied = HALF * model.num_weights, 2 * model.num_weights * hypotheses
    columns = hypotheses * TARGET_TOKENS // 2 + rows * SOURCE_TOKENS
    cached = 2 * HALF * model.model_size * model.num_layers * columns
    scored = SCORE_PASSES * SINGLE * model.vocabulary_size * hypotheses
    launches = LAUNCHES_PER_LAYER * model.num_layers + LAUNCHES_PER_STEP
    if width > 1:
        reorder = REORDER_LAUNCHES + REORDER_LAUNCHES_PER_LAYER * model.num_layers
        reorder_seconds = NUM_INDEX_COPIES * COPY_SECONDS + reorder * UNCAPTURED_SECONDS
    else:
        reorder_seconds = 0.0
    trips = NUM_REPLAYS * REPLAY_SECONDS + NUM_COPIES * COPY_SECONDS + NUM_WAITS * WAIT_SECONDS
    return Step(
        weights=max(read / card.bandwidth, multiplied / card.rate),
        caches=cached / card.bandwidth,
        scores=scored / card.bandwidth,
        launches=launches * LAUNCH_SECONDS,
        round_trips=trips + reorder_seconds,
        search=rows * SEARCH_SECONDS[width],
    )


def table() -> Iterator[str]:
    """Microseconds of a step, and what comes of it, as rows of Markdown."""
    columns = "model card rows width weights caches scores launches trips search step per-second"
    yield f"| {' | '.join(columns.split())} |"
    yield "|---|---|" + 10 * "--:|"
    for model, card, width, rows in product(MODELS, CARDS, WIDTHS, ROWS):
        step = step_of(model, card, rows, width)
        parts = (
            step.weights,
            step.caches,
            step.scores,
            step.launches,
            step.round_trips,
            step.search,
            step.total,
        )
        numbers = " | ".join(f"{1e6 * part:,.0f}" for part in parts)
        yield f"| {model.name} | {card.name} | {rows} | {width} | {numbers} | {rows / step.total:,.0f} |"


if __name__ == "__main__":
    print("\n".join(table()))
