"""The engine under mixed arrivals against each sequence alone, and against the model's own slow search."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from export.contract.manifest import Manifest, load_manifest
from export.contract.tensors import SOURCE_AXIS, Pools
from export.proof.graph_model import Beams, GraphModel, GraphScorer
from model.searches.beam_search import SearchResult, beam_search, greedy_search
from model.searches.contrastive_search import contrastive_search
from model.searches.sampling import sample
from model.text.sentencepiece_tokenizer import END_ID, START_ID
from model.text.tokenizers import load_tokenizer
from server.engine.engine import Engine
from server.engine.lane import LaneKey, lane_shape
from server.engine.scheduler import Scheduler
from server.engine.sequence import (
    AttentionChoice,
    Beam,
    Contrastive,
    Finished,
    Hypothesis,
    Method,
    Sampling,
    SequenceRequest,
)
from server.engine.session import ModelSession, SessionConfig
from server.engine.source_lengths import capacity_for

ARTIFACTS = Path(__file__).parents[2] / "export/artifacts"
NUM_SLOTS = 5
NUM_SENTENCES = 48
NUM_RAMBLING = 10
CAPACITY = 256
ALPHA = 1.0
SAMPLINGS = [
    Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=11),
    Sampling(temperature=0.8, top_k=40, top_p=0.9, seed=12),
]
METHODS: list[Method] = [
    Beam(beam_size=1),
    Beam(beam_size=3),
    Beam(beam_size=4),
    *SAMPLINGS,
    Contrastive(top_k=1, penalty_alpha=0.6),
    Contrastive(top_k=4, penalty_alpha=0.6),
]


@pytest.fixture(scope="module", params=["en-it", "en-it-lstm"])
def artifact(request: pytest.FixtureRequest) -> Path:
    return ARTIFACTS / str(request.param)


@pytest.fixture(scope="module")
def session(artifact: Path) -> ModelSession:
    return ModelSession.load(artifact, load_manifest(artifact), SessionConfig(device="cpu"))


@pytest.fixture(scope="module")
def choices(session: ModelSession) -> list[AttentionChoice]:
    """All heads of the first layer, and some of the last one's in an order of their own."""
    info = session.manifest.attention
    assert info is not None
    heads = tuple(range(info.num_heads))
    return [
        AttentionChoice(layer=0, heads=heads),
        AttentionChoice(layer=info.num_layers - 1, heads=heads[::-2]),
    ]


@pytest.fixture(scope="module")
def graphs(artifact: Path, session: ModelSession) -> GraphModel:
    manifest = session.manifest
    kinds = (manifest.caches, manifest.states, manifest.memory)
    return GraphModel(artifact, Pools(*kinds), manifest.special_ids)


@pytest.fixture(scope="module")
def sources(artifact: Path, pairs: list[tuple[str, str]]) -> list[tuple[int, ...]]:
    """Both directions, all lengths; some of three sentences, and some of no sense at all.

    Nonsense is short, yet its translation rambles on: it stays when those that came with it have left.
    """
    tokenizer, rng = load_tokenizer(artifact), random.Random(7)
    chosen = rng.sample(pairs, NUM_SENTENCES)
    found = []
    for i, pair in enumerate(chosen):
        text = pair[i % 2] if i % 8 else " ".join(p[i % 2] for p in chosen[i : i + 3])
        found.append(tuple(tokenizer.encode_source(text, ("it", "en")[i % 2])))
    for i in range(NUM_RAMBLING):
        words = [rng.randrange(300, tokenizer.size) for _ in range(rng.randint(18, 28))]
        found.append((found[i][0], *words, END_ID))
    return found


def request_of(
    sequence_id: int, source: tuple[int, ...], method: Method, attention: AttentionChoice | None = None
) -> SequenceRequest:
    return SequenceRequest(
        sequence_id=sequence_id,
        source=source,
        method=method,
        length_penalty=ALPHA,
        max_target_tokens=2 * len(source) + 16,
        attention=attention,
    )


@dataclass
class Run:
    """What became of a stream of requests."""

    results: dict[int, tuple[Hypothesis, ...]] = field(default_factory=dict)
    lanes: dict[int, LaneKey] = field(default_factory=dict)
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
    seen, coming, waiting, before = Run(), list(requests), Scheduler(), places(engine)
    while coming or waiting or engine.num_running:
        num_arriving = len(coming) if rng is None else rng.choice((0, 0, 0, 1, 1, 4))
        for request in coming[:num_arriving]:
            waiting.add(request)
        del coming[:num_arriving]
        engine.admit(waiting.take(engine.num_free, engine.reserve))
        before = places(engine)
        seen.most_running = max(seen.most_running, engine.num_running)
        report = engine.decode_step()
        for result in report.results if report else ():
            assert isinstance(result, Finished)
            seen.results[result.sequence_id] = result.hypotheses
        seen.num_compactions += sum(before[i] != now for i, now in places(engine).items())
        for sequence_id, (key, _) in before.items():
            assert seen.lanes.setdefault(sequence_id, key) == key, "a sequence changed its lane"
        engine.check()
    return seen


def assert_same(found: tuple[Hypothesis, ...], expected: tuple[Hypothesis, ...]) -> None:
    """Not one bit differs: tokens, scores, stop reasons, and attention where there is one."""
    assert found == expected
    for one, other in zip(found, expected, strict=True):
        assert (one.attention is None) == (other.attention is None)
        if one.attention is not None:
            np.testing.assert_array_equal(one.attention, other.attention)


@pytest.mark.parametrize("seed", [1, 2])
def test_mixed_arrivals_do_not_change_one_bit_of_any_result(
    session: ModelSession, sources: list[tuple[int, ...]], choices: list[AttentionChoice], seed: int
) -> None:
    rng = random.Random(seed)
    requests = [
        request_of(i, source, METHODS[i % len(METHODS)], rng.choice([None, *choices]))
        for i, source in enumerate(sources)
    ]
    alone = {request.sequence_id: run(Engine(session, 1), [request]).results for request in requests}
    rng.shuffle(requests)
    together = run(Engine(session, NUM_SLOTS), requests, rng)
    assert together.most_running == NUM_SLOTS
    assert together.num_compactions > 5
    num_capacities = len({key.capacity for key in together.lanes.values()})
    assert num_capacities > 2 if session.manifest.has_capacities else num_capacities == 1
    for sequence_id, expected in alone.items():
        assert_same(together.results[sequence_id], expected[sequence_id])


def test_a_lane_is_that_of_a_width_and_where_it_matters_of_a_power_of_two_of_source_tokens(
    session: ModelSession, sources: list[tuple[int, ...]]
) -> None:
    requests = [request_of(i, source, METHODS[i % len(METHODS)]) for i, source in enumerate(sources)]
    lanes = run(Engine(session, NUM_SLOTS), requests).lanes
    for request in requests:
        key, length = lanes[request.sequence_id], len(request.source)
        assert key.width == request.method.width
        if session.manifest.has_capacities:
            assert key.capacity == 16 or key.capacity // 2 < length
            assert length <= key.capacity in {16, 32, 64, 128, 256}
        else:
            assert key.capacity == 256


def test_lanes_that_make_room_for_each_other_do_not_change_one_bit(
    session: ModelSession, sources: list[tuple[int, ...]]
) -> None:
    """Memory for the largest that is needed: lanes come and go, and sequences wait for room."""
    requests = [request_of(i, source, METHODS[i % len(METHODS)]) for i, source in enumerate(sources[:24])]
    expected = run(Engine(session, NUM_SLOTS), requests)
    shapes = [lane_shape(session.manifest, key, NUM_SLOTS) for key in expected.lanes.values()]
    room = max(shape.num_bytes(session.manifest) for shape in shapes)
    engine = Engine(session, NUM_SLOTS, room)
    found = run(engine, requests)
    assert found.lanes == expected.lanes
    assert len(engine._lanes) < len(set(found.lanes.values()))
    assert sum(lane.num_bytes for lane in engine._lanes.values()) <= room
    for sequence_id, hypotheses in expected.results.items():
        assert_same(found.results[sequence_id], hypotheses)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_target_may_be_as_long_as_the_artifact_allows(
    artifact: Path, session: ModelSession, sources: list[tuple[int, ...]], method: Method
) -> None:
    """A lane has columns for just that many tokens; what follows is the same as in one with more."""
    limit = 6
    requests = [
        dataclasses.replace(request_of(i, source, method), max_target_tokens=limit)
        for i, source in enumerate(sources[:NUM_SLOTS])
    ]
    manifest = dataclasses.replace(session.manifest, max_target_tokens=limit)
    narrow = ModelSession.load(artifact, manifest, SessionConfig(device="cpu"))
    found = run(Engine(narrow, NUM_SLOTS), requests).results
    assert {len(hypotheses[0].token_ids) for hypotheses in found.values()} >= {limit}
    assert found == run(Engine(session, NUM_SLOTS), requests).results


@pytest.mark.parametrize(
    "methods",
    [[Beam(beam_size=4), Contrastive(top_k=4, penalty_alpha=0.6)], [Beam(beam_size=1), *SAMPLINGS]],
    ids=["of width 4", "of width 1"],
)
def test_methods_that_share_a_lane_do_not_disturb_each_other(
    session: ModelSession,
    sources: list[tuple[int, ...]],
    choices: list[AttentionChoice],
    methods: list[Method],
) -> None:
    """Nor does attention that a neighbour asks for."""
    asked = [None, choices[0], None, *choices]
    requests = [
        request_of(i, source, methods[i % len(methods)], asked[i % len(asked)])
        for i, source in enumerate(sources[:24])
    ]
    engine = Engine(session, NUM_SLOTS)
    found = run(engine, requests)
    assert {key.width for key in engine._lanes} == {methods[0].width}
    for method in methods:
        same = [request for request in requests if request.method == method]
        for sequence_id, expected in run(Engine(session, NUM_SLOTS), same).results.items():
            assert_same(found.results[sequence_id], expected)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_asking_for_attention_changes_nothing_else(
    session: ModelSession, sources: list[tuple[int, ...]], choices: list[AttentionChoice], method: Method
) -> None:
    chosen = sources[: 2 * NUM_SLOTS : 2]
    plain = run(Engine(session, NUM_SLOTS), [request_of(i, s, method) for i, s in enumerate(chosen)])
    attended = run(
        Engine(session, NUM_SLOTS), [request_of(i, s, method, choices[-1]) for i, s in enumerate(chosen)]
    )
    assert attended.results == plain.results


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_attention_is_that_of_the_step_that_predicted_the_token(
    session: ModelSession,
    graphs: GraphModel,
    sources: list[tuple[int, ...]],
    choices: list[AttentionChoice],
    method: Method,
) -> None:
    choice = choices[-1]
    requests = [request_of(i, source, method, choice) for i, source in enumerate(sources[:6])]
    for sequence_id, hypotheses in run(Engine(session, NUM_SLOTS), requests).results.items():
        source = sources[sequence_id]
        for hypothesis in hypotheses:
            assert hypothesis.attention is not None
            assert hypothesis.attention.shape == (len(hypothesis.token_ids), len(source))
            scorer = LaneScorer(graphs, method.width, session.manifest)
            memory = scorer.encode(torch.tensor([source]))
            for t, row in enumerate(hypothesis.attention):
                prefix = torch.tensor([(START_ID, *hypothesis.token_ids[:t])])
                weights = scorer.step(prefix, memory).attention[choice.layer][0]  # (H, W, C)
                expected = weights[list(choice.heads), 0, : len(source)].mean(axis=0)
                np.testing.assert_allclose(row, expected, rtol=0, atol=1e-4)


def test_a_lane_used_by_others_before_gives_the_same_results(
    session: ModelSession, sources: list[tuple[int, ...]]
) -> None:
    """What earlier sequences left in a row, longer ones among them, shines through nowhere."""
    beam, contrastive = Beam(beam_size=3), Contrastive(top_k=3, penalty_alpha=0.6)
    requests = [request_of(i, source, (beam, contrastive)[i % 2]) for i, source in enumerate(sources[:24:2])]
    engine = Engine(session, 2)
    run(engine, [request_of(100 + i, source, beam) for i, source in enumerate(reversed(sources))])
    again = run(engine, requests).results
    assert again == run(Engine(session, 2), requests).results


class LaneScorer(GraphScorer):
    """Over a memory as large as the lane's: a recurrent model's sums depend on that in their last bits.

    On how large the caches are they do not depend.
    """

    def __init__(self, graphs: GraphModel, width: int, manifest: Manifest) -> None:
        super().__init__(graphs, width, CAPACITY)
        self.manifest = manifest

    def encode(self, source: Tensor) -> Beams:
        beams, used = super().encode(source), range(capacity_for(self.manifest, source.shape[1]))
        for spec in self.graphs.pools.memory:
            if SOURCE_AXIS in spec.shape:
                beams.pools[spec.name] = beams.pools[spec.name].take(used, spec.shape.index(SOURCE_AXIS))
        return beams


def oracle(graphs: GraphModel, request: SequenceRequest, manifest: Manifest) -> list[SearchResult]:
    source, limit = list(request.source), request.max_target_tokens
    scorer = LaneScorer(graphs, request.method.width, manifest)
    match request.method:
        case Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed):
            return [
                sample(
                    scorer,
                    source,
                    limit,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                    seed=seed,
                    alpha=ALPHA,
                )
            ]
        case Contrastive(top_k=top_k, penalty_alpha=penalty_alpha):
            return [contrastive_search(scorer, source, top_k, penalty_alpha, limit, ALPHA)]
        case Beam(beam_size=1):
            return [greedy_search(scorer, source, limit, ALPHA)]
        case Beam(beam_size=beam_size):
            return beam_search(scorer, source, beam_size, limit, ALPHA)


@pytest.mark.parametrize("method", [m for m in METHODS if m != Beam(beam_size=3)], ids=str)
def test_the_engine_finds_what_the_slow_search_finds(
    session: ModelSession, graphs: GraphModel, sources: list[tuple[int, ...]], method: Method
) -> None:
    chosen = sources[: 40 - NUM_RAMBLING] + sources[-NUM_RAMBLING:]
    requests = [request_of(i, source, method) for i, source in enumerate(chosen)]
    found = run(Engine(session, NUM_SLOTS), requests)
    for request in requests:
        hypotheses = found.results[request.sequence_id]
        expected = oracle(graphs, request, session.manifest)
        assert [h.token_ids for h in hypotheses] == [e.token_ids for e in expected]
        assert [h.score for h in hypotheses] == [e.score for e in expected]
