"""Both servers side by side, and the highest Poisson rate that each bears."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from server.evaluation.serving import listening, running_server
from tests.load.grpc_requests import requests_of
from tests.load.loadgen import Load, LoadResult, offer
from tests.load.peer_batchers import BATCHERS
from tests.load.rate_search import RateSearch, search_together
from tests.load.subjects import NUM_CORES, Subject

log = logging.getLogger("traghetto.bench")

OURS, PEER = "Traghetto", "CTranslate2"
_GIVE_UP_SECONDS = 2.0  # four times the bound: with so much open a rate is not borne
_FIRST_RATE, _COARSE_STEP, _COARSE_RESOLUTION = 100.0, 1.6, 1.15
_FINE_STEP, _FINE_RESOLUTION = 1.1, 1.03


class PeerError(RuntimeError):
    """The peer's server did not start."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long the measurements take.

    Args:
        coarse_seconds, coarse_queries: Of one rate in the first search and in curves, at least.
        seconds, num_queries: Of one rate in the rounds, at least.
    """

    coarse_seconds: float = 8.0
    coarse_queries: int = 300
    seconds: float = 15.0
    num_queries: int = 1000


THOROUGH = Effort()
QUICK = Effort(coarse_seconds=3.0, coarse_queries=150, seconds=5.0, num_queries=200)


@contextmanager
def running_peer(subject: Subject, batcher: str) -> Iterator[str]:
    """Start the peer's server on a free port; gives its address.

    Raises:
        PeerError: it ended before it was ready.
    """
    command = [sys.executable, "-m", "tests.load.peer_server", str(subject.ctranslate2_folder)]
    command += ["--tokenizer", str(subject.checkpoint), "--batcher", batcher, "--replicas", str(NUM_CORES)]
    with listening(command, PeerError(f"the peer's server did not start with {subject.name}")) as places:
        yield places["grpc"]


class Servers:
    """Ours and the peer's, one for each batcher, all up for as long as the `with` block lasts."""

    def __init__(self, subject: Subject, stack: ExitStack) -> None:
        self._requests = [request.SerializeToString() for request in requests_of(subject)]
        self.addresses = {OURS: stack.enter_context(running_server(subject.artifact))}
        for batcher in BATCHERS:
            self.addresses[f"{PEER} ({batcher})"] = stack.enter_context(running_peer(subject, batcher))

    def offer(self, name: str, load: Load) -> LoadResult:
        """Offer a load to one of them."""
        result = offer(self.addresses[name], self._requests, load)
        log.info(
            "%s at %.1f/s: %.1f/s answered, p50 %.0f ms, p99 %.0f ms, %d errors",
            name,
            load.rate,
            result.completed_rate,
            result.p50_milliseconds,
            result.p99_milliseconds,
            result.num_errors,
        )
        return result


def coarse_limits(servers: Servers, effort: Effort) -> dict[str, float]:
    """Of every server, about: queries a second."""
    searches = {name: RateSearch(_FIRST_RATE, _COARSE_STEP, _COARSE_RESOLUTION) for name in servers.addresses}
    return _search(servers, searches, effort.coarse_seconds, effort.coarse_queries, seed=0)


def round_limits(
    servers: Servers, around: Mapping[str, float], effort: Effort, seed: int
) -> dict[str, float]:
    """Of the servers in `around`, searched together from there; the seed says which goes first."""
    names = sorted(around, reverse=seed % 2 == 0)
    searches = {name: RateSearch(around[name], _FINE_STEP, _FINE_RESOLUTION) for name in names}
    return _search(servers, searches, effort.seconds, effort.num_queries, seed)


def _search(
    servers: Servers, searches: Mapping[str, RateSearch], seconds: float, min_queries: int, seed: int
) -> dict[str, float]:
    def is_borne(name: str, rate: float) -> bool:
        load = Load(
            rate=rate,
            seconds=seconds,
            min_queries=min_queries,
            seed=seed,
            max_outstanding_seconds=_GIVE_UP_SECONDS,
        )
        return servers.offer(name, load).is_valid

    return search_together(searches, is_borne)
