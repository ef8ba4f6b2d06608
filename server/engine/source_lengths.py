"""What the length of a source decides: the capacity of its lane, and whom it is encoded with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from export.contract.manifest import Manifest
from server.engine.sequence import SequenceRequest

SMALLEST_CAPACITY = 16
SOURCE_MULTIPLE = 8
# An encoder run takes about as long as so many tokens more in another one (9 on both bundled sizes).
RUN_COST_TOKENS = 8


def capacity_for(manifest: Manifest, num_tokens: int) -> int:
    """The source positions of the lane for so many tokens: 16, 32, 64, ..., or one number for all lengths."""
    num_positions = num_tokens if manifest.has_capacities else manifest.max_source_tokens
    return max(SMALLEST_CAPACITY, 1 << math.ceil(math.log2(num_positions)))


def encoder_batches(
    manifest: Manifest, requests: Sequence[SequenceRequest]
) -> Iterator[tuple[int, list[SequenceRequest]]]:
    """Which sources to encode together, and the length that they are padded to.

    Where results depend on that length it is a source's own, rounded up to a multiple of 8; otherwise sources
    of like length share a run as long as their padding costs less than another run.
    """
    multiple = SOURCE_MULTIPLE if manifest.has_capacities else 1
    max_padding = 0 if manifest.has_capacities else RUN_COST_TOKENS
    batch: list[SequenceRequest] = []
    size = padding = 0
    for request in sorted(requests, key=lambda r: len(r.source)):
        padded_length = -(-len(request.source) // multiple) * multiple
        padding += (padded_length - size) * len(batch)
        if padding > max_padding:
            yield size, batch
            batch, padding = [], 0
        size = padded_length
        batch.append(request)
    if batch:
        yield size, batch
