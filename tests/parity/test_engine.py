"""The engine under mixed arrivals against each sequence alone, and against the model's own slow search."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from export.graph_model import GraphModel, GraphScorer
from export.manifest import load_manifest
from model.search import Hypothesis as ExpectedHypothesis
from model.search import beam_search, greedy_search
from model.tokenizer import END_ID, Tokenizer
from server.engine.engine import Engine
from server.engine.lane import LaneKey
from server.engine.sequence import Finished, Hypothesis, SequenceRequest
from server.engine.session import ModelSession, SessionConfig

ARTIFACT = Path(__file__).parents[2] / "export/artifacts/en-it"
NUM_SLOTS = 5
NUM_SENTENCES = 48
NUM_RAMBLING = 10
CAPACITY = 256
ALPHA = 1.0


@pytest.fixture(scope="module")
def session() -> ModelSession:
    return ModelSession(ARTIFACT, load_manifest(ARTIFACT), SessionConfig(device="cpu"))


@pytest.fixture(scope="module")
def graphs(session: ModelSession) -> GraphModel:
    return GraphModel(ARTIFACT, session.manifest.caches, session.manifest.memory)


@pytest.fixture(scope="module")
def sources(pairs: list[tuple[str, str]]) -> list[tuple[int, ...]]:
    """Both directions, all lengths; some of three sentences, and some of no sense at all.

    Nonsense is short, yet its translation rambles on: it outgrows the lane that it started in.
    """
    tokenizer, rng = Tokenizer.load(ARTIFACT), random.Random(7)
    chosen = rng.sample(pairs, NUM_SENTENCES)
    found = []
    for i, pair in enumerate(chosen):
        text = pair[i % 2] if i % 8 else " ".join(p[i % 2] for p in chosen[i : i + 3])
        found.append(tuple(tokenizer.encode_source(text, ("it", "en")[i % 2])))
    for i in range(NUM_RAMBLING):
        words = [rng.randrange(300, tokenizer.size) for _ in range(rng.randint(18, 28))]
        found.append((found[i][0], *words, END_ID))
    return found


def request_of(sequence_id: int, source: tuple[int, ...], beam_size: int) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=source,
        beam_size=beam_size,
        length_penalty=ALPHA,
        max_target_tokens=2 * len(source) + 16,
    )


@dataclass
class Run:
    """What became of a stream of requests."""

    results: dict[int, tuple[Hypothesis, ...]] = field(default_factory=dict)
    num_promotions: int = 0
    num_compactions: int = 0
    most_running: int = 0


def places(engine: Engine) -> dict[int, tuple[LaneKey, int]]:
    return {
        running.request.sequence_id: (key, row)
        for key, lane in engine._lanes.items()
        for row, running in enumerate(lane._running)
        if running
    }


def run(engine: Engine, requests: Sequence[SequenceRequest], rng: random.Random | None = None) -> Run:
    """Step until all is done; requests arrive all at once, or now and then."""
    seen, waiting, before = Run(), list(requests), places(engine)
    while waiting or engine.num_waiting or engine.num_running:
        num_arriving = len(waiting) if rng is None else rng.choice((0, 0, 0, 1, 1, 4))
        for request in waiting[:num_arriving]:
            engine.submit(request)
        del waiting[:num_arriving]
        engine.admit()
        before = places(engine)
        seen.most_running = max(seen.most_running, engine.num_running)
        report = engine.decode_step()
        for result in report.results if report else ():
            assert isinstance(result, Finished)
            seen.results[result.sequence_id] = result.hypotheses
        moved = [(before[i], now) for i, now in places(engine).items() if before[i] != now]
        seen.num_promotions += sum(was[0] != now[0] for was, now in moved)
        seen.num_compactions += sum(was[0] == now[0] for was, now in moved)
        engine.check()
    return seen


@pytest.mark.parametrize("seed", [1, 2])
def test_mixed_arrivals_do_not_change_one_bit_of_any_result(
    session: ModelSession, sources: list[tuple[int, ...]], seed: int
) -> None:
    rng = random.Random(seed)
    requests = [request_of(i, source, (1, 3, 4)[i % 3]) for i, source in enumerate(sources)]
    alone = {request.sequence_id: run(Engine(session, 1), [request]).results for request in requests}
    rng.shuffle(requests)
    together = run(Engine(session, NUM_SLOTS), requests, rng)
    assert together.most_running == NUM_SLOTS
    assert together.num_promotions > 5
    assert together.num_compactions > 5
    for sequence_id, expected in alone.items():
        assert together.results[sequence_id] == expected[sequence_id]  # tokens, scores and stop reasons


def test_a_lane_used_by_others_before_gives_the_same_results(
    session: ModelSession, sources: list[tuple[int, ...]]
) -> None:
    """What earlier sequences left in a row, longer ones among them, shines through nowhere."""
    requests = [request_of(i, source, 3) for i, source in enumerate(sources[:24:2])]
    engine = Engine(session, 2)
    run(engine, [request_of(100 + i, source, 3) for i, source in enumerate(reversed(sources))])
    again = run(engine, requests).results
    assert again == run(Engine(session, 2), requests).results


def oracle(graphs: GraphModel, request: SequenceRequest) -> list[ExpectedHypothesis]:
    source, limit = list(request.source), request.max_target_tokens
    scorer = GraphScorer(graphs, request.beam_size, CAPACITY)
    if request.beam_size == 1:
        return [greedy_search(scorer, source, limit, ALPHA)]
    return beam_search(scorer, source, request.beam_size, limit, ALPHA)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_the_engine_finds_what_the_slow_search_finds(
    session: ModelSession, graphs: GraphModel, sources: list[tuple[int, ...]], beam_size: int
) -> None:
    chosen = sources[: 40 - NUM_RAMBLING] + sources[-NUM_RAMBLING:]
    requests = [request_of(i, source, beam_size) for i, source in enumerate(chosen)]
    found = run(Engine(session, NUM_SLOTS), requests)
    assert found.num_promotions > 3
    for request in requests:
        hypotheses, expected = found.results[request.sequence_id], oracle(graphs, request)
        assert [h.token_ids for h in hypotheses] == [e.token_ids for e in expected]
        scores = [e.score for e in expected]
        assert [h.score for h in hypotheses] == pytest.approx(scores, rel=0, abs=1e-4)
