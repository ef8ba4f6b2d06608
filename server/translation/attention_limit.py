"""How much attention one call may make the server hold."""

from __future__ import annotations

from collections.abc import Iterable

from server.errors import Violation
from server.work.job import Job
from server.work.options import SearchOptions

# A little under the 4 MiB that a client takes in one message by default; hundreds of sentences.
MAX_ATTENTION_WEIGHTS = 983_040


def attention_size_faults(jobs: Iterable[Job]) -> list[Violation]:
    """What a call does wrong that may make more attention than the server holds for one."""
    most = sum(num_weights(len(job.source), job.options) for job in jobs if job.options.attention)
    if most <= MAX_ATTENTION_WEIGHTS:
        return []
    limit = f"may make {most} weights, must make at most {MAX_ATTENTION_WEIGHTS}: send fewer texts"
    return [Violation("options.attention", limit)]


def num_weights(num_source_tokens: int, options: SearchOptions) -> int:
    """How many one source may make, if every hypothesis gets as long as it may."""
    return num_source_tokens * options.target_limit(num_source_tokens) * options.method.width
