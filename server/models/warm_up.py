"""What a model does before it is served: it repeats its artifact's translations and runs all its shapes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

from export.contract.manifest import ArtifactError, Manifest
from server.config import DEFAULT_BEAM_SIZE
from server.engine.engine import Engine
from server.engine.scheduler import Scheduler
from server.engine.sequence import Beam, Failed, Finished, InferenceError, SequenceRequest
from server.engine.source_lengths import capacity_for

_NUM_STEPS = 2  # the second reads what the first wrote
_NUM_TIMED = 9


def self_check(engine: Engine, manifest: Manifest) -> None:
    """Repeat the artifact's own translations: a processor that computes otherwise would translate wrongly.

    Raises:
        ArtifactError: one fails or differs.
    """
    expected = manifest.self_check
    targets = {1: expected.greedy, expected.beam_size: expected.beam}
    requests = [
        _request(beam_size, expected.source, beam_size, expected.max_target_tokens) for beam_size in targets
    ]
    for result in _run(engine, manifest, requests):
        if (token_ids := result.hypotheses[0].token_ids) != targets[result.sequence_id]:
            raise ArtifactError(
                f"model {manifest.name} fails its self-check: this machine gives tokens {list(token_ids)}, "
                f"the artifact has {list(targets[result.sequence_id])}"
            )


def warm_up(engine: Engine, manifest: Manifest, max_beam_size: int, *, by_rows: bool) -> None:
    """Run each kind of step that requests commonly need once, so that none of them waits for it.

    Args:
        by_rows: On a GPU each number of rows that a step may have is captured once; on a CPU it makes no
            difference.

    Raises:
        ArtifactError: one fails.
    """
    lengths = _source_lengths(manifest)
    for beam_size in sorted({1, min(DEFAULT_BEAM_SIZE, max_beam_size)}):
        if by_rows:
            _warm_up_rows(engine, manifest, beam_size)
        for length in lengths[-1:] if by_rows else lengths:
            request = _request(0, _source(manifest, length), beam_size, _NUM_STEPS)
            for _ in _run(engine, manifest, [request]):
                pass


def _warm_up_rows(engine: Engine, manifest: Manifest, beam_size: int) -> None:
    try:
        engine.warm_up(beam_size)
    except InferenceError as error:
        raise ArtifactError(f"model {manifest.name} fails its warm-up: {error}") from error


def lone_speedup(engine: Engine, manifest: Manifest) -> float:
    """How many times as fast a text alone is translated by an engine that is lone, by turns; the median.

    Raises:
        ArtifactError: a translation fails.
    """
    expected = manifest.self_check
    request = _request(0, expected.source, 1, expected.max_target_tokens)

    def timed(*, is_lone: bool) -> float:
        engine.set_exclusive(is_lone)
        started = time.perf_counter()
        for _ in _run(engine, manifest, [request]):
            pass
        return time.perf_counter() - started

    pairs = [(timed(is_lone=False), timed(is_lone=True)) for _ in range(1 + _NUM_TIMED)]
    return statistics.median(usual / lone for usual, lone in pairs[1:])  # the first one warms up


def _source_lengths(manifest: Manifest) -> list[int]:
    """One for each capacity that a lane may have."""
    longest = manifest.max_source_tokens
    capacities = {capacity_for(manifest, length) for length in range(1, longest + 1)}
    return sorted(min(capacity, longest) for capacity in capacities)


def _source(manifest: Manifest, length: int) -> tuple[int, ...]:
    """The self-check's, repeated or cut, with its end."""
    *tokens, end = manifest.self_check.source
    return (*(tokens * length)[: length - 1], end)


def _request(
    sequence_id: int, source: Sequence[int], beam_size: int, max_target_tokens: int
) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=tuple(source),
        method=Beam(beam_size=beam_size),
        length_penalty=1.0,
        max_target_tokens=max_target_tokens,
    )


def _run(engine: Engine, manifest: Manifest, requests: Sequence[SequenceRequest]) -> Iterator[Finished]:
    waiting = Scheduler()
    for request in requests:
        waiting.add(request)
    while waiting or engine.num_running:
        for report in (engine.admit(waiting.take(engine.num_free, engine.reserve)), engine.decode_step()):
            for result in report.results if report else ():
                if isinstance(result, Failed):
                    raise ArtifactError(
                        f"model {manifest.name} fails its self-check: {result.error}"
                    ) from result.error
                yield result
