"""How much attention one call may make the server hold."""

from __future__ import annotations

from collections.abc import Iterable

from server.errors import Violation
from server.work.job import Job

# A little under the 4 MiB that a client takes in one message by default; hundreds of sentences.
MAX_ATTENTION_WEIGHTS = 983_040


def attention_size_faults(jobs: Iterable[Job]) -> list[Violation]:
    """What a call does wrong that may make more attention than the server holds for one."""
    num_weights = sum(_num_weights(job) for job in jobs if job.options.attention)
    if num_weights <= MAX_ATTENTION_WEIGHTS:
        return []
    limit = f"may make {num_weights} weights, must make at most {MAX_ATTENTION_WEIGHTS}: send fewer texts"
    return [Violation("options.attention", limit)]


def _num_weights(job: Job) -> int:
    num_source_tokens = len(job.source)
    return num_source_tokens * job.options.target_limit(num_source_tokens) * job.options.method.width
