"""A second search for translations that go round in circles, before anybody is warned of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from server.documents.warnings import WarningReason
from server.engine.constraints import Constraints
from server.errors import RequestError
from server.translation.marking import Place
from server.translation.results import Translation
from server.work.job import Job

# Of those that the bundled model made of 1,326 texts all 5 ended with this at a beam of 4, and 9 of 12 greedy
# ones; shorter ones leave less of the sentence.
_NGRAM_SIZE = 3
Item = Translation | RequestError


def loop_free_jobs(jobs: Mapping[Place, Job], items: Sequence[Item]) -> dict[Place, Job]:
    """The jobs whose translations repeat themselves, changed so that no n-gram may come twice."""
    places = [(i, j) for i, item in enumerate(items) for j in _loops(item)]
    return {place: _without_repetition(jobs[place]) for place in places if _may_repeat(jobs[place])}


def better(first: Item, second: Item) -> Item:
    """Of two translations of a text the one of fewer segments that repeat themselves; else the first."""
    is_better = isinstance(second, Translation) and len(_loops(second)) < len(_loops(first))
    return second if is_better else first


def _loops(item: Item) -> list[int]:
    """The segments that are warned of."""
    warnings = item.warnings if isinstance(item, Translation) else ()
    return [w.segment for w in warnings if w.reason is WarningReason.REPETITION and w.segment is not None]


def _may_repeat(job: Job) -> bool:
    constraints = job.options.constraints or Constraints()
    return not (0 < constraints.no_repeat_ngram_size <= _NGRAM_SIZE or _goes_round(constraints.prefix))


def _goes_round(prefix: Sequence[int]) -> bool:
    """Whether the same tokens stand three times one after the other in what no search may change."""
    for length in range(1, len(prefix) // 3 + 1):
        num_equal = 0  # tokens that equal the one so many places before
        for before, token in zip(prefix, prefix[length:], strict=False):
            num_equal = num_equal + 1 if token == before else 0
            if num_equal == 2 * length:
                return True
    return False


def _without_repetition(job: Job) -> Job:
    constraints = replace(job.options.constraints or Constraints(), no_repeat_ngram_size=_NGRAM_SIZE)
    return replace(job, options=replace(job.options, constraints=constraints))
