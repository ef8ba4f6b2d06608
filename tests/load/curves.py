"""Measures, in process, the curves behind the pictures: throughput by batch, latency by target length.

python -m tests.load.curves --models bundled base
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tests.load.ctranslate2_peer import CTranslate2Peer
from tests.load.curve_store import BATCHES, LENGTHS, Point, store_curves
from tests.load.ours import Ours
from tests.load.subjects import MODELS, NUM_CORES, Subject, Translator, subject

log = logging.getLogger("traghetto.bench")

OURS, PEER = "Traghetto", "CTranslate2"
_AT_ONCE = (1, 2, 4, 8, 16, 32, 64)
_LEAST_SENTENCES, _SENTENCES_PER_SLOT = 48, 6
_MAX_TARGET_TOKENS = 128
_NUM_TURNS = 3
_NUM_SENTENCES, _BIN_TOKENS = 60, 6  # of all lengths, and the width of a bin of target lengths

Sources = Sequence[Sequence[int]]
Translate = Callable[[Sources], list[list[int]]]


def batch_curves(chosen: Subject) -> dict[str, list[Point]]:
    """Target tokens a second, greedy, by the number of sentences that are translated at once.

    On both sides they are shared among the cores: slots of ours, batches of the peer's. The peer gets its
    sentences sorted by length, ours takes them as they come.
    """
    curves: dict[str, list[Point]] = {OURS: [], PEER: []}
    for at_once in _AT_ONCE:
        sources = chosen.first(max(_LEAST_SENTENCES, _SENTENCES_PER_SLOT * at_once)).sources
        shares = min(at_once, NUM_CORES)
        engine = Ours(chosen.artifact, runners=shares, slots=at_once // shares)
        peer = _Batches(chosen, shares, at_once // shares)
        speeds = _speeds({OURS: _greedily(engine), PEER: peer}, sources)
        peer.close()
        engine.close()
        for name, speed in speeds.items():
            curves[name].append({"batch": at_once, "target_tokens_per_second": speed})
        log.info("%s, %d at once: %s", chosen.name, at_once, speeds)
    return curves


def _greedily(translator: Translator) -> Translate:
    return lambda sources: translator.translate(sources, 1, _MAX_TARGET_TOKENS)


class _Batches:
    """CTranslate2 in batches of one size, one on each core; two threads are slower for a single sentence."""

    def __init__(self, chosen: Subject, replicas: int, size: int) -> None:
        self._size = size
        self._peer = CTranslate2Peer(chosen.ctranslate2_folder, inter_threads=replicas, intra_threads=1)
        self._pool = ThreadPoolExecutor(replicas)

    def __call__(self, sources: Sources) -> list[list[int]]:
        """All targets, in the order of length."""
        ordered = sorted(sources, key=len)
        batches = [ordered[i : i + self._size] for i in range(0, len(ordered), self._size)]
        found = self._pool.map(_greedily(self._peer), batches)
        return [target for targets in found for target in targets]

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown()


def _speeds(systems: Mapping[str, Translate], sources: Sources) -> dict[str, float]:
    """Medians over turns, after one that does not count."""
    speeds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(_NUM_TURNS + 1):
        for name, translate in systems.items():
            started = time.perf_counter()
            num_tokens = sum(len(target) + 1 for target in translate(sources))  # END_ID was computed too
            speeds[name].append(num_tokens / (time.perf_counter() - started))
    return {name: statistics.median(found[1:]) for name, found in speeds.items()}


def length_curves(chosen: Subject) -> dict[str, list[Point]]:
    """Milliseconds for one sentence alone, greedy, by the length of its target.

    The peer's are those of its better number of threads, length by length.
    """
    ordered = sorted(chosen.sources, key=len)
    sources = [ordered[i] for i in np.linspace(0, len(ordered) - 1, _NUM_SENTENCES).astype(int)]
    engine = Ours(chosen.artifact)
    lengths = [len(target) + 1 for target in engine.translate(sources, 1, _MAX_TARGET_TOKENS)]
    ours = _by_length(engine, sources, lengths)
    engine.close()
    peers = [
        _by_length(
            CTranslate2Peer(chosen.ctranslate2_folder, inter_threads=1, intra_threads=threads),
            sources,
            lengths,
        )
        for threads in sorted({1, NUM_CORES})
    ]
    best = {length: min(found[length] for found in peers) for length in ours}
    for length, milliseconds in sorted(ours.items()):
        log.info("%s, %g target tokens: %.1f and %.1f ms", chosen.name, length, milliseconds, best[length])
    return {
        name: [{"target_tokens": length, "milliseconds": ms} for length, ms in sorted(found.items())]
        for name, found in ((OURS, ours), (PEER, best))
    }


def _by_length(translator: Translator, sources: Sources, lengths: Sequence[int]) -> dict[float, float]:
    """The median of each bin of target lengths, by the bin's middle."""
    bins: dict[float, list[float]] = defaultdict(list)
    translator.translate_one(sources[-1], 1, _MAX_TARGET_TOKENS)  # warms up
    for _ in range(_NUM_TURNS):
        for source, length in zip(sources, lengths, strict=True):
            started = time.perf_counter()
            translator.translate_one(source, 1, _MAX_TARGET_TOKENS)
            middle = _BIN_TOKENS * (length // _BIN_TOKENS + 0.5)
            bins[middle].append(1000 * (time.perf_counter() - started))
    return {middle: statistics.median(found) for middle, found in bins.items()}


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description="Measure the curves behind the bench's pictures.")
    parser.add_argument("--build", type=Path, default=Path("build"), help="keeps models and curves")
    parser.add_argument("--data", type=Path, help="folder with test sets (default: the tests' sentences)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    for name in arguments.models:
        chosen = subject(name, arguments.build, arguments.data)
        store_curves(arguments.build, BATCHES, name, batch_curves(chosen))
        store_curves(arguments.build, LENGTHS, name, length_curves(chosen))


if __name__ == "__main__":
    main()
