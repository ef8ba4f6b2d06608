"""A shortlist in the engine: against the slow search over a masked vocabulary, and against itself alone."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.artifact import build_artifact
from export.contract.graph_names import GraphName
from export.contract.manifest import MANIFEST_NAME, PROOF_NAME, ArtifactError, Manifest, load_manifest
from export.contract.tensors import Pools, TensorSpec
from export.describe import structure_sha256
from export.graphs.shortlist import shortlist_graphs
from export.graphs.to_onnx import Exported
from export.limits import Limits
from export.proof.graph_model import GraphModel
from export.proof.shortlist_model import ShortlistScorer
from model.networks.transformer import Transformer
from model.searches.beam_search import SearchResult, beam_search, greedy_search
from model.searches.contrastive_search import contrastive_search
from model.searches.sampling import sample
from model.shortlist.shortlist import FILE_NAME, Shortlist, ShortlistTable
from model.text.sentencepiece_tokenizer import END_ID, START_ID
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from server.engine.device import DeviceError
from server.engine.engine import Engine
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

REPOSITORY = Path(__file__).parents[2]
ARTIFACT = REPOSITORY / "export/artifacts/en-it"
NUM_SENTENCES = 42
METHODS: list[Method] = [
    Beam(beam_size=1),
    Beam(beam_size=4),
    Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=11),
    Sampling(temperature=0.8, top_k=40, top_p=0.9, seed=12),
    Contrastive(top_k=1, penalty_alpha=0.6),
    Contrastive(top_k=4, penalty_alpha=0.6),
]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(ARTIFACT)


@pytest.fixture(scope="module")
def session(manifest: Manifest) -> ModelSession:
    return ModelSession.load(ARTIFACT, manifest, SessionConfig(device="cpu", with_shortlist=True))


@pytest.fixture(scope="module")
def shortlist() -> Shortlist:
    return Shortlist.load(ARTIFACT)


@pytest.fixture(scope="module")
def graphs(manifest: Manifest) -> GraphModel:
    kinds = (manifest.caches, manifest.states, manifest.memory)
    return GraphModel(ARTIFACT, Pools(*kinds), manifest.special_ids)


@pytest.fixture(scope="module")
def sources(pairs: list[tuple[str, str]]) -> list[tuple[int, ...]]:
    """Both directions; some of three sentences."""
    tokenizer, rng = load_tokenizer(ARTIFACT), random.Random(5)
    chosen = rng.sample(pairs, NUM_SENTENCES)
    found = []
    for i, pair in enumerate(chosen):
        text = pair[i % 2] if i % 7 else " ".join(p[i % 2] for p in chosen[i : i + 3])
        found.append(tuple(tokenizer.encode_source(text, ("it", "en")[i % 2])))
    return found


def request_of(i: int, source: tuple[int, ...], method: Method) -> SequenceRequest:
    """Every fifth with attention, every other one without scores."""
    return SequenceRequest(
        sequence_id=i,
        source=source,
        method=method,
        length_penalty=1.0,
        max_target_tokens=2 * len(source) + 8,
        attention=None if i % 5 else AttentionChoice(layer=0, heads=(0, 2)),
        with_scores=i % 2 == 0,
    )


def run(
    engine: Engine, requests: Sequence[SequenceRequest], rng: random.Random | None = None
) -> dict[int, tuple[Hypothesis, ...]]:
    """Step until all is done; requests arrive all at once, or now and then."""
    results, coming, waiting = {}, list(requests), Scheduler()
    while coming or waiting or engine.num_running:
        num_arriving = len(coming) if rng is None else rng.choice((0, 0, 1, 1, 4))
        for request in coming[:num_arriving]:
            waiting.add(request)
        del coming[:num_arriving]
        engine.admit(waiting.take(engine.num_free, engine.reserve))
        report = engine.decode_step()
        for result in report.results if report else ():
            assert isinstance(result, Finished)
            results[result.sequence_id] = result.hypotheses
    return results


def assert_same(found: tuple[Hypothesis, ...], expected: tuple[Hypothesis, ...]) -> None:
    assert found == expected  # tokens, scores and why they ended, bit by bit
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(
            np.nan if ours.attention is None else ours.attention,
            np.nan if theirs.attention is None else theirs.attention,
        )


def test_every_sequence_is_the_same_alone_and_among_others(
    session: ModelSession, sources: list[tuple[int, ...]], shortlist: Shortlist
) -> None:
    requests = [request_of(i, source, METHODS[i % len(METHODS)]) for i, source in enumerate(sources)]
    alone = {r.sequence_id: run(Engine(session, 1), [r])[r.sequence_id] for r in requests}
    for num_slots, seed in ((8, 1), (32, 2)):
        shuffled = random.Random(seed).sample(requests, len(requests))
        together = run(Engine(session, num_slots), shuffled, random.Random(seed))
        for request in requests:
            assert_same(together[request.sequence_id], alone[request.sequence_id])
    for request in requests:
        candidates = set(shortlist.candidates(request.source).tolist())
        assert all(candidates.issuperset(h.token_ids) for h in alone[request.sequence_id])


def oracle(graphs: GraphModel, request: SequenceRequest, shortlist: Shortlist) -> Sequence[SearchResult]:
    source, limit = list(request.source), request.max_target_tokens
    capacity = max(len(source), limit + 1)  # more changes nothing
    scorer = ShortlistScorer(graphs, request.method.width, capacity, shortlist)
    match request.method:
        case Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed):
            return [
                sample(scorer, source, limit, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
            ]
        case Contrastive(top_k=top_k, penalty_alpha=penalty_alpha):
            return [contrastive_search(scorer, source, top_k, penalty_alpha, limit)]
        case Beam(beam_size=1):
            return [greedy_search(scorer, source, limit)]
        case Beam(beam_size=beam_size):
            return beam_search(scorer, source, beam_size, limit)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_engine_finds_what_the_slow_search_over_the_candidates_finds(
    session: ModelSession,
    graphs: GraphModel,
    sources: list[tuple[int, ...]],
    shortlist: Shortlist,
    method: Method,
) -> None:
    requests = [request_of(i, source, method) for i, source in enumerate(sources[:24])]
    found = run(Engine(session, 8), requests)
    for request in requests:
        expected = oracle(graphs, request, shortlist)
        hypotheses = found[request.sequence_id]
        assert [h.token_ids for h in hypotheses] == [e.token_ids for e in expected]
        scores = [h.score for h in hypotheses if h.score is not None]
        assert scores == pytest.approx([e.score for e in expected][: len(scores)], rel=0, abs=2e-3)


def test_attention_is_that_of_the_whole_step(
    session: ModelSession, manifest: Manifest, sources: list[tuple[int, ...]]
) -> None:
    """Of a translation that the shortlist leaves as it is."""
    source = manifest.self_check.source
    whole = ModelSession.load(ARTIFACT, manifest, SessionConfig(device="cpu"))
    request = request_of(0, source, Beam(beam_size=1))
    found = run(Engine(session, 4), [request, request_of(1, sources[0], Beam(beam_size=1))])[0]
    expected = run(Engine(whole, 4), [request])[0]
    assert found[0].token_ids == expected[0].token_ids == manifest.self_check.greedy
    assert found[0].attention is not None
    assert expected[0].attention is not None
    np.testing.assert_array_equal(found[0].attention, expected[0].attention)


def test_the_bundled_shortlist_and_its_graphs_are_the_checkpoints_and_todays_exporters(
    manifest: Manifest,
) -> None:
    assert manifest.shortlist == FILE_NAME
    checkpoint = REPOSITORY / "model/pretrained/en-it"
    assert (ARTIFACT / FILE_NAME).read_bytes() == (checkpoint / FILE_NAME).read_bytes()
    info = manifest.graphs[GraphName.DECODER_STEP]
    inputs, outputs = (
        tuple(TensorSpec(i.name, i.dtype, i.shape) for i in infos) for infos in (info.inputs, info.outputs)
    )
    step = Exported(onnx.load(ARTIFACT / info.file), inputs, outputs)
    for name, graph in shortlist_graphs(step).items():
        assert structure_sha256(graph.model) == manifest.graphs[name].structure_sha256
        stored = onnx.load(ARTIFACT / manifest.graphs[name].file)
        for ours, theirs in zip(graph.model.graph.initializer, stored.graph.initializer, strict=True):
            assert ours.name == theirs.name
            np.testing.assert_array_equal(numpy_helper.to_array(ours), numpy_helper.to_array(theirs))


def test_the_masked_oracle_gives_its_candidates_all_the_probability(
    graphs: GraphModel, shortlist: Shortlist, sources: list[tuple[int, ...]]
) -> None:
    scorer = ShortlistScorer(graphs, 1, 64, shortlist)
    memory = scorer.encode(torch.tensor([sources[1]]))
    log_probs = scorer.decode_step(torch.tensor([[START_ID]]), memory)[0]
    possible = torch.isfinite(log_probs).nonzero()[:, 0].tolist()
    assert possible == shortlist.candidates(sources[1]).tolist()
    assert float(log_probs.exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_a_shortlist_that_an_artifact_does_not_have_is_refused(manifest: Manifest) -> None:
    folder = REPOSITORY / "export/artifacts/en-it-lstm"
    with pytest.raises(DeviceError, match="a shortlist was asked for, model en-it-lstm has none"):
        ModelSession.load(folder, load_manifest(folder), SessionConfig(device="cpu", with_shortlist=True))


def test_an_artifact_is_proved_with_its_shortlist_and_refused_without_its_graphs(
    small_model: Transformer, tokenizer: Tokenizer, short_pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    """In fp32; of its 600 tokens some are nowhere a candidate."""
    size, folder = tokenizer.size, tmp_path / "tiny"
    is_always = np.random.default_rng(0).random(size) < 0.95
    is_always[END_ID] = True
    table = ShortlistTable(
        is_always=is_always, offsets=np.zeros(size + 1, np.int64), targets=np.empty(0, np.int64)
    )
    tags = [tokenizer.encode_source("", language)[0] for language in tokenizer.languages]
    manifest = build_artifact(
        small_model,
        tokenizer,
        folder,
        precision="fp32",
        pairs=short_pairs,
        limits=Limits(max_source_tokens=64, max_target_tokens=64),
        shortlist=Shortlist(size, dict.fromkeys(tags, table)),
    )
    assert load_manifest(folder) == manifest
    proof = json.loads((folder / PROOF_NAME).read_text())
    passed = {check["name"] for check in proof["checks"] if check["passed"]}
    assert passed >= {"shortlist_step", "shortlist", "shortlist_columns"}
    assert 0.9 * size < proof["shortlist"]["mean_candidates"] < size
    assert is_always[list(manifest.self_check.greedy)].all()

    fields = json.loads((folder / MANIFEST_NAME).read_text())
    del fields["graphs"][GraphName.OUTPUT_COLUMNS]
    (folder / MANIFEST_NAME).write_text(json.dumps(fields))
    with pytest.raises(
        ArtifactError, match=f"graphs lacks {GraphName.OUTPUT_COLUMNS}, which a shortlist needs"
    ):
        load_manifest(folder)
