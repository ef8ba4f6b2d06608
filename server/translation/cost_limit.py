"""How much work one call may be: what costs more is refused before any of its texts is translated."""

from __future__ import annotations

from collections.abc import Iterable

from server.errors import Violation
from server.translation.answer_limit import usual_target_tokens
from server.work.job import Job


def cost_faults(jobs: Iterable[Job], max_tokens: int | None) -> list[Violation]:
    """What a call does wrong that costs more than a call may.

    It costs what its segments do, (source tokens + usual target tokens) * hypotheses. What was measured of
    other texts does not count, so that the same call is refused at any time and by every server.

    Args:
        max_tokens: A call's limit; None for none.
    """
    if max_tokens is None:
        return []
    num_tokens = sum((len(job.source) + usual_target_tokens(job)) * job.options.method.width for job in jobs)
    if num_tokens <= max_tokens:
        return []
    fault = (
        f"would cost {num_tokens} tokens, source and expected target times the beam, the limit is "
        f"{max_tokens}: send fewer texts or a smaller beam"
    )
    return [Violation("texts", fault)]
