"""How large an answer may get: one that no message holds is refused before any of its texts is translated."""

from __future__ import annotations

from collections.abc import Iterable

from server.errors import Violation
from server.work.job import Job

# What a translation has for each token of its source, and a token in UTF-8: as is usual in the Latin script,
# for an answer that is only a little too large is worth a try.
_TARGET_TOKENS_PER_SOURCE_TOKEN = 1.25
_BYTES_PER_TOKEN = 4
_BYTES_PER_HYPOTHESIS = 32  # scores, counts and tags


def usual_target_tokens(job: Job) -> int:
    """The tokens that a translation of such a source usually has, or has to have, within its limit."""
    num_source_tokens, constraints = len(job.source), job.options.constraints
    usual = int(_TARGET_TOKENS_PER_SOURCE_TOKEN * num_source_tokens)
    if constraints is not None:
        usual = max(usual, constraints.min_target_tokens, len(constraints.prefix))
    return min(usual, job.options.target_limit(num_source_tokens))


def answer_size_faults(jobs: Iterable[Job], num_kept_bytes: int, max_bytes: int | None) -> list[Violation]:
    """What a call does wrong whose answer is expected to be larger than a message may be.

    Args:
        num_kept_bytes: Of the texts, what comes out as it went in.
        max_bytes: Of a message; None for no limit.
    """
    # The best hypothesis of a text is there twice, as the translation too, and what is kept is in both.
    num_bytes = sum(_num_bytes(job) for job in jobs) + 2 * num_kept_bytes
    if max_bytes is None or num_bytes <= max_bytes:
        return []
    fault = f"would make an answer of some {num_bytes} bytes, the limit is {max_bytes}: send fewer texts"
    return [Violation("texts", fault)]


def _num_bytes(job: Job) -> int:
    num_bytes = _BYTES_PER_TOKEN * usual_target_tokens(job)
    return num_bytes + job.options.num_hypotheses * (num_bytes + _BYTES_PER_HYPOTHESIS)
