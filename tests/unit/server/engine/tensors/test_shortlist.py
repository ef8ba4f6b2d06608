"""Rows that score their own candidates alone, whoever else is in the lane."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.contract.graph_names import GraphName
from export.describe import describe
from export.folder import write_graphs
from export.graphs.of_model import graphs_of
from export.graphs.shortlist import shortlist_graphs
from export.graphs.to_onnx import Exported
from export.limits import Limits
from export.proof.graph_model import GraphModel
from export.proof.sentences import prepare
from export.quantize.matrices import quantize_graph
from model.networks.transformer import Transformer
from model.shortlist.shortlist import FILE_NAME, Shortlist, ShortlistTable
from model.text.sentencepiece_tokenizer import END_ID
from model.text.tokenizer import Tokenizer
from server.engine.graph_runner import GraphRunner
from server.engine.searches.search import Continuation, StepOutputs
from server.engine.sequence import InferenceError
from server.engine.session import ModelSession, SessionConfig
from server.engine.tensors import output_columns
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.lane_tensors import LaneTensors, new_lane_tensors

CAPACITY, ROWS = 16, 5
ASKED = frozenset({GraphName.LOG_PROBS, GraphName.CANDIDATES, "hidden"})


def random_shortlist(size: int, tags: list[int]) -> Shortlist:
    random_ = np.random.default_rng(0)
    tables = {}
    for tag in tags:
        is_always = np.zeros(size, np.bool_)
        is_always[[END_ID, *random_.permutation(size)[:20]]] = True
        targets = [np.unique(random_.integers(4, size, 9)) for _ in range(size)]
        offsets = np.concatenate([[0], np.cumsum([len(own) for own in targets])])
        tables[tag] = ShortlistTable(is_always=is_always, offsets=offsets, targets=np.concatenate(targets))
    return Shortlist(size, tables)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def sessions(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    small_model: Transformer,
    exported: dict[str, Exported],
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
) -> tuple[ModelSession, ModelSession]:
    """The same tiny model without its shortlist and with it."""
    folder: Path = tmp_path_factory.mktemp("artifact") / "tiny"
    folder.mkdir()
    graphs = exported
    if request.param == "int8":
        graphs = {n: dataclasses.replace(e, model=quantize_graph(e.model)) for n, e in exported.items()}
    graphs = {**graphs, **shortlist_graphs(graphs[GraphName.DECODER_STEP])}
    write_graphs(folder, graphs)
    manifest = describe(
        small_model,
        tokenizer,
        folder=folder,
        precision="fp32",
        limits=Limits(max_source_tokens=16, max_target_tokens=16),
        exported=graphs,
        sentences=prepare(short_pairs, tokenizer),
        graphs=GraphModel(folder, graphs_of(small_model).pools, small_model.special_ids),
    )
    tags = [tokenizer.encode_source("", language)[0] for language in tokenizer.languages]
    random_shortlist(tokenizer.size, tags).save(folder)
    manifest = dataclasses.replace(manifest, shortlist=FILE_NAME)
    whole, shortlisted = (
        ModelSession.load(folder, manifest, SessionConfig(device="cpu", with_shortlist=with_shortlist))
        for with_shortlist in (False, True)
    )
    return whole, shortlisted


Sources = dict[int, list[int]]
NO_FORCED: Sources = {}


def some_source(rng: random.Random) -> list[int]:
    return [rng.choice((4, 5)), *(rng.randrange(300, 600) for _ in range(rng.randint(1, 12))), END_ID]


def encode(tensors: LaneTensors, sources: Sources, forced: Sources = NO_FORCED) -> None:
    for row, source in sources.items():
        padded = np.zeros((1, CAPACITY), np.int64)
        padded[0, : len(source)] = source
        tensors.encode(padded, np.array([len(source)]), np.array([row]), forced)
        tensors.reset(row, len(source))


def lane(session: ModelSession, width: int, sources: Sources) -> Any:
    shape = LaneShape(rows=ROWS, width=width, source_capacity=CAPACITY, columns=16)
    tensors = new_lane_tensors(GraphRunner(session), shape)
    encode(tensors, sources)
    return tensors


def assert_masked(
    found: StepOutputs, whole: StepOutputs, row: int, candidates: list[int], width: int
) -> None:
    """What a row reads is the whole step's, but among its candidates."""
    assert found.log_probs is not None
    assert whole.log_probs is not None
    assert found.candidates is not None
    masked = np.full_like(whole.log_probs[row], -np.inf)
    masked[:, candidates] = whole.log_probs[row][:, candidates]  # (W, V)
    total = np.log(np.exp(masked.astype(np.float64)).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(found.log_probs[row], masked - total, rtol=0, atol=1e-4)
    order = np.argsort(-found.log_probs[row], axis=-1, kind="stable")[:, : 2 * width]
    np.testing.assert_array_equal(found.candidates.token[row], order)
    picked = np.take_along_axis(found.log_probs[row], order, axis=-1)
    np.testing.assert_array_equal(found.candidates.score[row], picked)
    np.testing.assert_array_equal(found.extra["hidden"][row], whole.extra["hidden"][row])
    if width == 1:
        assert found.greedy is not None
        assert found.greedy.token[row] == order[0, 0]
        assert found.greedy.score[row] == picked[0, 0]


@pytest.mark.parametrize("width", [1, 3])
def test_a_row_reads_the_whole_steps_scores_of_its_candidates(
    sessions: tuple[ModelSession, ModelSession], width: int
) -> None:
    whole_session, session = sessions
    assert session.shortlist is not None
    rng = random.Random(width)
    sources = {row: some_source(rng) for row in range(ROWS)}
    whole, short = (lane(s, width, sources) for s in (whole_session, session))
    for _ in range(12):
        expected, found = whole.step(ROWS, ASKED), short.step(ROWS, ASKED)
        for row, source in sources.items():
            assert_masked(found, expected, row, session.shortlist.candidates(source).tolist(), width)
        changed = rng.randrange(ROWS)
        sources[changed] = some_source(rng)
        for tensors in (whole, short):
            for row in set(sources) - {changed}:
                tensors.advance({row: Continuation(list(range(width)), [7 + row] * width)})
            tensors.free(changed)
            encode(tensors, {changed: sources[changed]})


@pytest.mark.parametrize("width", [1, 3])
def test_a_shortlist_hides_no_forced_token(sessions: tuple[ModelSession, ModelSession], width: int) -> None:
    """Of the row that it is forced in; when the sequence has left it is a candidate no more."""
    whole_session, session = sessions
    assert session.shortlist is not None
    sources = {row: some_source(random.Random(row)) for row in range(ROWS)}
    whole, short = (lane(s, width, sources) for s in (whole_session, session))
    candidates = {row: session.shortlist.candidates(source).tolist() for row, source in sources.items()}
    hidden = sorted(set(range(session.shortlist.vocabulary_size)) - set(candidates[1]))[::40]
    short.free(1)
    encode(short, {1: sources[1]}, forced={1: hidden})
    for forced in (hidden, []):
        expected, found = whole.step(ROWS, ASKED), short.step(ROWS, ASKED)
        for row in sources:
            among = sorted({*candidates[row], *(forced if row == 1 else ())})
            assert_masked(found, expected, row, among, width)
        short.free(1)
        encode(short, {1: sources[1]})


@pytest.mark.parametrize("width", [1, 3])
def test_a_rows_scores_do_not_depend_on_the_others(
    sessions: tuple[ModelSession, ModelSession], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a bit, however the lane's columns came together, grew and were fetched anew."""
    session, rng = sessions[1], random.Random(width)
    mine = some_source(rng)
    alone = lane(session, width, {0: mine}).step(2, ASKED)
    expected = [alone.log_probs[0].copy(), alone.candidates.token[0].copy(), alone.candidates.score[0].copy()]
    is_int8 = session.manifest.graphs[GraphName.OUTPUT_COLUMNS].outputs[0].dtype == "uint8"
    if is_int8:  # whose sums are exact in any size
        monkeypatch.setattr(output_columns, "MULTIPLE", 64)
    tensors = lane(session, width, {})
    sizes = set()
    for _ in range(20):
        row = rng.randrange(ROWS)
        others = {r: some_source(rng) for r in rng.sample(range(ROWS), rng.randint(1, ROWS)) if r != row}
        encode(tensors, {**others, row: mine})
        found = tensors.step(ROWS, ASKED)
        sizes.add(tensors._shortlist._columns.size)
        np.testing.assert_array_equal(found.log_probs[row], expected[0])
        np.testing.assert_array_equal(found.candidates.token[row], expected[1])
        np.testing.assert_array_equal(found.candidates.score[row], expected[2])
        for r in range(ROWS):
            tensors.free(r)
    assert len(sizes) > 1 or not is_int8


def test_a_row_that_moves_takes_its_candidates_along(sessions: tuple[ModelSession, ModelSession]) -> None:
    rng = random.Random(3)
    tensors = lane(sessions[1], 1, {row: some_source(rng) for row in range(3)})
    before = tensors.step(3, ASKED).log_probs[2].copy()
    tensors.free(0)
    tensors.move_row(2, 0)
    tensors.free(2)
    np.testing.assert_array_equal(tensors.step(2, ASKED).log_probs[0], before)


def test_columns_that_could_not_be_fetched_are_fetched_for_the_next(
    sessions: tuple[ModelSession, ModelSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, rng = sessions[1], random.Random(4)
    sources = {row: some_source(rng) for row in range(2)}
    tensors = lane(session, 1, {0: sources[0]})
    before = tensors.step(2, ASKED).log_probs[0].copy()
    graphs = tensors._graphs
    run: Callable[..., None] = graphs.run

    def fail(graph: str, *arguments: Any, **named: Any) -> None:
        if graph == GraphName.OUTPUT_COLUMNS:
            raise InferenceError("runtime", "broken")
        run(graph, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(graphs, "run", fail)
        with pytest.raises(InferenceError, match="broken"):
            encode(tensors, {1: sources[1]})
    np.testing.assert_array_equal(tensors.step(2, ASKED).log_probs[0], before)
    encode(tensors, {1: sources[1]})
    np.testing.assert_array_equal(tensors.step(2, ASKED).log_probs[0], before)
