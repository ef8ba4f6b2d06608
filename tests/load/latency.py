"""One sentence at a time: milliseconds a sentence, ours and CTranslate2's in the better of its settings."""

from __future__ import annotations

import logging
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tests.load.base_text import base_text
from tests.load.ctranslate2_peer import CTranslate2Peer
from tests.load.ours import Ours
from tests.load.rounds import Figure, figure, paired_rounds
from tests.load.subjects import Subject, Translator

log = logging.getLogger("traghetto.bench")

BEAM_SIZES = {"latency_greedy": 1, "latency_beam4": 4}
_MAX_TARGET_TOKENS = 128
_NUM_BASE_SENTENCES, _BASE_TOKENS = 20, 20  # source tokens, and as many of the target
_NUM_SENTENCES = 40
_INTRA_THREADS = (1, 2)
_NUM_TRIALS = 3  # of each, after a warm-up


@dataclass(frozen=True)
class _Timed:
    """One translator at work on one sentence after the other."""

    translator: Translator
    subject: Subject
    beam_size: int

    def __call__(self) -> float:
        started = time.perf_counter()
        for source in self.subject.sources:
            self.translator.translate_one(source, self.beam_size, _MAX_TARGET_TOKENS)
        return 1000 * (time.perf_counter() - started) / len(self.subject.sources)


def latency_rows(name: str, subject: Subject, num_rounds: int) -> Iterator[Figure]:
    """The row of a name in BEAM_SIZES."""
    beam_size = BEAM_SIZES[name]
    chosen = _sentences(subject)
    intra_threads, peer = _best_peer(chosen, beam_size)
    engine = Ours(subject.artifact)
    try:
        rounds = paired_rounds(_Timed(engine, chosen, beam_size), peer, num_rounds)
    finally:
        engine.close()
    yield figure(
        (name, subject.name, "ctranslate2-int8"),
        rounds,
        "ms/sentence",
        less_is_better=True,
        peer_setting=f"inter 1, intra {intra_threads}",
        num_sentences=len(chosen.sources),
    )


def _sentences(subject: Subject) -> Subject:
    """Of the base model all of one length, of a real one some of all lengths."""
    if subject.references is None:
        choice = random.Random(0)
        texts = [base_text(_BASE_TOKENS, _BASE_TOKENS, choice) for _ in range(_NUM_BASE_SENTENCES)]
        ids = (tuple(subject.tokenizer.encode_source(text, "it")) for text in texts)
        return replace(subject, sources=tuple(ids))
    ordered = sorted(range(len(subject.sources)), key=lambda i: len(subject.sources[i]))
    picked = np.linspace(0, len(ordered) - 1, min(_NUM_SENTENCES, len(ordered))).astype(int)
    at = [ordered[i] for i in picked]
    return replace(
        subject,
        sources=tuple(subject.sources[i] for i in at),
        references=tuple(subject.references[i] for i in at),
    )


def _best_peer(subject: Subject, beam_size: int) -> tuple[int, _Timed]:
    """The number of intra threads with which CTranslate2 is fastest, and it.

    One after the other, each gone before the next comes: its threads go on spinning for a while.
    """
    medians = {}
    for threads in _INTRA_THREADS:
        peer = _peer(subject, beam_size, threads)
        medians[threads] = statistics.median([peer() for _ in range(_NUM_TRIALS + 1)][1:])
        del peer
    log.info("CTranslate2 alone, by intra threads: %s", {t: f"{ms:.1f} ms" for t, ms in medians.items()})
    best = min(medians, key=lambda threads: medians[threads])
    return best, _peer(subject, beam_size, best)


def _peer(subject: Subject, beam_size: int, intra_threads: int) -> _Timed:
    peer = CTranslate2Peer(subject.ctranslate2_folder, inter_threads=1, intra_threads=intra_threads)
    return _Timed(peer, subject, beam_size)
