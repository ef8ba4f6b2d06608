"""Many sentences at once: target tokens a second of ours and of each peer, on the same sentences."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.load.ctranslate2_peer import CTranslate2Peer, write_vocabulary_map
from tests.load.ours import Ours
from tests.load.rounds import Figure, figure, paired_rounds
from tests.load.shortlists import one_direction, shortlist_candidates
from tests.load.subjects import NUM_CORES, Subject, Translator
from tests.load.transformers_peer import TransformersPeer

log = logging.getLogger("traghetto.bench")

MAX_TARGET_TOKENS = 128
_UNIT = "target tokens/s"
_NUM_BEAM_SENTENCES = 500
_NUM_TRANSFORMERS_SENTENCES = {1: 200, 4: 64}  # by beam size: it is slow
BEAM_SIZES = {"bulk_greedy": 1, "bulk_beam4": 4}


@dataclass
class _Timed:
    """One translator at work on all sentences; keeps what it found last."""

    translator: Translator
    subject: Subject
    beam_size: int
    targets: list[list[int]] = field(default_factory=list)

    def __call__(self) -> float:
        started = time.perf_counter()
        self.targets = self.translator.translate(self.subject.sources, self.beam_size, MAX_TARGET_TOKENS)
        seconds = time.perf_counter() - started
        return sum(len(ids) + 1 for ids in self.targets) / seconds  # END_ID was computed too


def bulk_rows(name: str, subject: Subject, num_rounds: int) -> Iterator[Figure]:
    """The rows of a name in BEAM_SIZES, one for each peer."""
    beam_size = BEAM_SIZES[name]
    some = subject.first(_NUM_BEAM_SENTENCES) if beam_size > 1 else subject
    peer = CTranslate2Peer(subject.ctranslate2_folder, inter_threads=NUM_CORES, intra_threads=1)
    setting = f"inter {NUM_CORES}, intra 1"
    yield _row((name, subject.name, "ctranslate2-int8"), some, (beam_size, num_rounds), peer, setting)
    few = subject.first(_NUM_TRANSFORMERS_SENTENCES[beam_size])
    slow = TransformersPeer(subject.model, num_threads=NUM_CORES)
    setting = f"{NUM_CORES} threads"
    yield _row((name, subject.name, "transformers-fp32"), few, (beam_size, num_rounds), slow, setting)


def shortlist_rows(name: str, subject: Subject, num_rounds: int) -> Iterator[Figure]:
    """Greedy with the output layer cut to a shortlist, the peer's with the same one; none without one."""
    subject = one_direction(subject)
    candidates = shortlist_candidates(subject)
    if candidates is None:
        log.warning("%s: the artifact of %s has no shortlist", name, subject.name)
        return
    folder = subject.ctranslate2_folder
    path = write_vocabulary_map(folder, candidates)
    try:
        peer = CTranslate2Peer(folder, inter_threads=NUM_CORES, intra_threads=1)
        setting = f"inter {NUM_CORES}, intra 1, vocabulary map"
        row = (name, subject.name, "ctranslate2-int8")
        yield _row(row, subject, (1, num_rounds), peer, setting, with_shortlist=True)
    finally:
        path.unlink()


def _row(
    row: tuple[str, str, str],
    subject: Subject,
    how: tuple[int, int],
    translator: Translator,
    setting: str,
    *,
    with_shortlist: bool = False,
) -> Figure:
    """Measure one row; `how` is the beam size and the number of rounds."""
    beam_size, num_rounds = how
    engine = Ours(subject.artifact, shortlist=with_shortlist)
    try:
        ours, peer = _Timed(engine, subject, beam_size), _Timed(translator, subject, beam_size)
        rounds = paired_rounds(ours, peer, num_rounds)
    finally:
        engine.close()
    ours_quality, peer_quality = subject.quality(ours.targets), subject.quality(peer.targets)
    return figure(
        row,
        rounds,
        _UNIT,
        peer_setting=setting,
        num_sentences=len(subject.sources),
        quality=(ours_quality, peer_quality) if ours_quality and peer_quality else None,
    )
