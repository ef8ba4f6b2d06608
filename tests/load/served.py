"""The served part of the bench: the highest Poisson rate with p99 within 500 ms, ours against the peer's.

Both servers stay up through one run. A coarse search finds the limits and the better of the peer's batchers;
every round then searches both limits anew, a rate each by turns, and gives one paired ratio.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.load.curve_store import SERVED, Point, store_curves
from tests.load.loadgen import Load, LoadResult
from tests.load.overhead import Overhead, single_request_overhead
from tests.load.rounds import Figure, figure
from tests.load.served_limits import OURS, THOROUGH, Effort, Servers, coarse_limits, round_limits
from tests.load.subjects import NUM_CORES, Subject, subject

log = logging.getLogger("traghetto.bench")

_LOADS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25)  # of a server's own limit


class ServedError(RuntimeError):
    """A server bore no rate at all."""


def served_rows(
    build: Path,
    *,
    models: Sequence[str],
    rounds: int,
    data: Path | None = None,
    effort: Effort = THOROUGH,
) -> list[Figure]:
    """Measure the limits of each model's two servers, and their curves into `build`.

    Args:
        build: The folder for what is made.
        models: "bundled", "base" or both.
        rounds: Paired searches.
        data: As for `subject`.
        effort: How long a rate is offered; by default 5 rounds take about 18 minutes for a model.

    Raises:
        ServedError: a server bore no rate.
    """
    return [_row(subject(name, build, data), rounds, effort) for name in models]


def _row(chosen: Subject, num_rounds: int, effort: Effort) -> Figure:
    with ExitStack() as stack:
        servers = Servers(chosen, stack)
        around = _without_the_worse_batcher(coarse_limits(servers, effort))
        rounds = [round_limits(servers, around, effort, seed) for seed in range(1, num_rounds + 1)]
        _check(rounds)
        limits = {server: [found[server] for found in rounds] for server in around}
        store_curves(chosen.build, SERVED, chosen.name, _curves(servers, limits, effort))
    (peer,) = limits.keys() - {OURS}
    row = ("served_rate_p99", chosen.name, "ctranslate2-int8")
    num_sentences = len(chosen.sources)
    return figure(
        row,
        (limits[OURS], limits[peer]),
        "requests/s",
        peer_setting=f"{peer}, inter {NUM_CORES}, intra 1",
        num_sentences=num_sentences,
    )


def _without_the_worse_batcher(limits: Mapping[str, float]) -> dict[str, float]:
    best = max((server for server in limits if server != OURS), key=lambda server: limits[server])
    log.info("limits, coarsely: %s; the peer goes on with %s", limits, best)
    chosen = {OURS: limits[OURS], best: limits[best]}
    _check([chosen])
    return chosen


def _check(rounds: Sequence[Mapping[str, float]]) -> None:
    if failed := {server for found in rounds for server, limit in found.items() if limit == 0}:
        raise ServedError(f"no rate was low enough for {', '.join(sorted(failed))}: is the machine quiet?")


def _curves(
    servers: Servers, limits: Mapping[str, Sequence[float]], effort: Effort
) -> dict[str, list[Point]]:
    """Throughput and latency at loads below and above each server's limit, a load each by turns."""
    curves: dict[str, list[Point]] = {server: [] for server in limits}
    for share in _LOADS:
        for server, points in curves.items():
            rate = share * statistics.median(limits[server])
            load = Load(rate=rate, seconds=effort.coarse_seconds, min_queries=effort.coarse_queries)
            points.append(_point(servers.offer(server, load)))
    return curves


def _point(result: LoadResult) -> Point:
    return {
        "rate": result.offered_rate,
        "completed_rate": result.completed_rate,
        "target_tokens_per_second": result.target_tokens_per_second,
        "p50_milliseconds": result.p50_milliseconds,
        "p99_milliseconds": result.p99_milliseconds,
    }


def single_request_overheads(
    build: Path, *, models: Sequence[str], data: Path | None = None
) -> dict[str, Overhead]:
    """What gRPC and the server add to one sentence at a time, for each model."""
    overheads = {}
    for name in models:
        overheads[name] = single_request_overhead(subject(name, build, data))
        log.info("single requests, %s: %s", name, overheads[name])
    return overheads
