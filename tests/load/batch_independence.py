"""Sentences alone against the same among others that join and leave: not one bit of a result may differ.

Those alone have an engine and the processors to themselves, the others now and then.

python -m tests.load.batch_independence --sentences FILE --artifact DIR
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.contract.manifest import load_manifest
from model.text.parallel_text import read_pairs
from model.text.tokenizers import load_tokenizer
from server.engine.engine import Engine
from server.engine.scheduler import Scheduler
from server.engine.sequence import Beam, Finished, Hypothesis, SequenceRequest
from server.engine.session import ModelSession, SessionConfig

BEAM_SIZES = (1, 4)
SLOTS = (8, 32, 64)
_DEFAULT_SENTENCES = 2000
_BURST_PROBABILITY = 1 / 12  # of a step; a burst then fills the engine half on average
_EXCLUSIVE_PROBABILITY = 1 / 2  # of a step
Results = Mapping[int, tuple[Hypothesis, ...]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What became of sentences among others.

    Args:
        num_sentences: Translated alone and together.
        num_joined_among_others: Those that joined while others were running.
        num_other_tokens: Those of which a hypothesis' tokens differ.
        num_other_scores: Those of the same tokens of which a log-probability or score differs in any bit.
    """

    beam_size: int
    num_slots: int
    num_sentences: int
    num_joined_among_others: int
    num_other_tokens: int
    num_other_scores: int

    @property
    def is_same(self) -> bool:
        """No sentence differs."""
        return not self.num_other_tokens + self.num_other_scores

    def __str__(self) -> str:
        return (
            f"beam size {self.beam_size}, {self.num_slots} slots: {self.num_sentences} sentences, "
            f"{self.num_joined_among_others} joined among others, {self.num_other_tokens} have other tokens, "
            f"{self.num_other_scores} other scores"
        )


def open_session(artifact: Path) -> ModelSession:
    """An artifact on CPU, its files checked."""
    return ModelSession.load(
        artifact, load_manifest(artifact), SessionConfig(device="cpu", num_exclusive_threads=2)
    )


def sources_of(
    artifact: Path, pairs: Sequence[tuple[str, str]], count: int, seed: int = 0
) -> list[tuple[int, ...]]:
    """Random sentences of both languages as token ids, tag and end of sentence included.

    Args:
        pairs: Columns in the order of the artifact's languages.
    """
    tokenizer = load_tokenizer(artifact)
    first, second = tokenizer.languages
    texts = [row for a, b in pairs for row in ((a, second), (b, first))]
    chosen = random.Random(seed).sample(texts, min(count, len(texts)))
    return [tuple(tokenizer.encode_source(text, language)) for text, language in chosen]


def compare(
    session: ModelSession,
    sources: Sequence[tuple[int, ...]],
    beam_size: int,
    slots: Sequence[int] = SLOTS,
    seed: int = 0,
) -> Iterator[Comparison]:
    """Translate each source in an engine of its own, and all of them in an engine of so many slots.

    In the latter they arrive in random order and in bursts, so that rows fill, empty and move.
    """
    requests = [_request(session, i, source, beam_size) for i, source in enumerate(sources)]
    alone: dict[int, tuple[Hypothesis, ...]] = {}
    for request in requests:
        alone |= _translated(Engine(session, 1), [request])[0]
    for num_slots in slots:
        arrivals = random.Random(seed + num_slots)
        shuffled = arrivals.sample(requests, len(requests))
        together, num_joined = _translated(Engine(session, num_slots), shuffled, arrivals)
        yield _compared(beam_size, num_slots, num_joined, alone, together)


def _request(
    session: ModelSession, sequence_id: int, source: tuple[int, ...], beam_size: int
) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=source,
        method=Beam(beam_size=beam_size),
        length_penalty=1.0,
        max_target_tokens=min(2 * len(source) + 16, session.manifest.max_target_tokens),
    )


def _translated(
    engine: Engine, requests: Sequence[SequenceRequest], arrivals: random.Random | None = None
) -> tuple[Results, int]:
    """The results, and how many joined among others; all requests arrive at once without `arrivals`."""
    results: dict[int, tuple[Hypothesis, ...]] = {}
    coming, waiting, num_joined = deque(requests), Scheduler(), 0
    while coming or waiting or engine.num_running:
        engine.set_exclusive(arrivals is None or arrivals.random() < _EXCLUSIVE_PROBABILITY)
        for _ in range(_num_arriving(engine, len(coming), arrivals)):
            waiting.add(coming.popleft())
        has_others = engine.num_running > 0
        joined = engine.admit(waiting.take(engine.num_free, engine.reserve))
        num_joined += len(joined.joined) if joined and has_others else 0
        report = engine.decode_step()
        for result in report.results if report else ():
            assert isinstance(result, Finished), result
            results[result.sequence_id] = result.hypotheses
    return results, num_joined


def _num_arriving(engine: Engine, num_coming: int, arrivals: random.Random | None) -> int:
    if arrivals is None:
        return num_coming
    if engine.num_running and arrivals.random() > _BURST_PROBABILITY:
        return 0
    return min(arrivals.randint(1, engine.num_slots), num_coming)


def _compared(
    beam_size: int, num_slots: int, num_joined: int, alone: Results, together: Results
) -> Comparison:
    assert alone.keys() == together.keys(), "every sentence has a result"
    pairs = [(together[i], expected) for i, expected in alone.items()]
    has_same_tokens = [[h.token_ids for h in found] == [h.token_ids for h in one] for found, one in pairs]
    return Comparison(
        beam_size=beam_size,
        num_slots=num_slots,
        num_sentences=len(alone),
        num_joined_among_others=num_joined,
        num_other_tokens=has_same_tokens.count(False),
        num_other_scores=sum(
            is_same and found != one for is_same, (found, one) in zip(has_same_tokens, pairs, strict=True)
        ),
    )


def main() -> int:
    """Compare, print counts; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sentences", type=Path, required=True, help="sentence pairs, tab-separated or .gz")
    parser.add_argument("--artifact", type=Path, required=True, help="its folder")
    parser.add_argument("--count", type=int, default=_DEFAULT_SENTENCES, help="most sentences (%(default)s)")
    arguments = parser.parse_args()
    session = open_session(arguments.artifact)
    sources = sources_of(arguments.artifact, read_pairs(arguments.sentences), arguments.count)
    is_same = True
    for beam_size in BEAM_SIZES:
        for found in compare(session, sources, beam_size):
            print(found, flush=True)
            is_same &= found.is_same
    return int(not is_same)


if __name__ == "__main__":
    sys.exit(main())
