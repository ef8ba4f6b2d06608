"""A server with --shortlist: its translations are those of the slow search over the candidates alone."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from export.contract.manifest import load_manifest
from export.contract.tensors import Pools
from export.proof.graph_model import GraphModel
from export.proof.shortlist_model import ShortlistScorer
from model.searches.beam_search import beam_search, greedy_search
from model.shortlist.shortlist import Shortlist
from model.text.tokenizers import load_tokenizer
from tests.running_server import RunningServer, StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
NUM_TEXTS = 16
MAX_TARGET_TOKENS = 30
MakeRequest = Callable[..., pb.TranslateRequest]


@pytest.fixture(scope="module")
def shortlisted(start_server: StartServer, artifact: Path) -> Iterator[RunningServer]:
    """Two models, one of which has no shortlist."""
    with start_server(artifact, artifact.with_name("en-it-lstm"), "--shortlist", "--slots=3") as running:
        yield running


@pytest.fixture(scope="module")
def texts(pairs: list[tuple[str, str]]) -> list[str]:
    return [english for english, _ in random.Random(3).sample(pairs, NUM_TEXTS)]


@pytest.fixture
def found(
    shortlisted: RunningServer,
    connect: Callable[[RunningServer], pb_grpc.TranslationServiceStub],
    make_request: MakeRequest,
    texts: list[str],
) -> Callable[[int], list[str]]:
    """The translations of all texts in one call, by beam size."""

    def translate(beam_size: int) -> list[str]:
        options = {"beam_size": beam_size, "max_target_tokens": MAX_TARGET_TOKENS}
        request = make_request(*texts, segmentation=pb.SEGMENTATION_NONE, **options)
        items = connect(shortlisted).Translate(request, timeout=PATIENCE_SECONDS).items
        return [item.translation.text for item in items]

    return translate


@pytest.mark.parametrize("beam_size", [1, 3])
def test_texts_are_translated_with_their_candidates_alone(
    found: Callable[[int], list[str]], artifact: Path, texts: list[str], beam_size: int
) -> None:
    manifest, tokenizer = load_manifest(artifact), load_tokenizer(artifact)
    kinds = (manifest.caches, manifest.states, manifest.memory)
    graphs = GraphModel(artifact, Pools(*kinds), manifest.special_ids)
    scorer = ShortlistScorer(graphs, beam_size, 64, Shortlist.load(artifact))
    expected = []
    for text in texts:
        source = tokenizer.encode_source(text, "it")
        hypothesis = (
            greedy_search(scorer, source, MAX_TARGET_TOKENS)
            if beam_size == 1
            else beam_search(scorer, source, beam_size, MAX_TARGET_TOKENS)[0]
        )
        expected.append(tokenizer.detokenize(hypothesis.token_ids))
    assert found(beam_size) == expected


def test_a_model_without_a_shortlist_is_served_and_the_log_says_so(
    shortlisted: RunningServer,
    connect: Callable[[RunningServer], pb_grpc.TranslationServiceStub],
    make_request: MakeRequest,
) -> None:
    request = make_request("Good morning.", model="en-it-lstm")
    items = connect(shortlisted).Translate(request, timeout=PATIENCE_SECONDS).items
    assert items[0].translation.text
    log = shortlisted.log.read_text()
    assert "model en-it-lstm has no shortlist: it scores its whole vocabulary" in log
    assert "model en-it has no shortlist" not in log


def test_beams_that_may_want_more_candidates_than_there_are_refuse_the_start(
    serve_in_vain: Callable[..., subprocess.CompletedProcess[str]], artifact: Path
) -> None:
    ended = serve_in_vain(artifact, "--shortlist", "--max-beam-size=2000")
    assert ended.returncode == 2
    assert "--max-beam-size 2000 with --shortlist needs 4000 candidates" in ended.stderr
