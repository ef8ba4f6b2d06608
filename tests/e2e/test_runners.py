"""Several runners behind one queue: who translates a text makes no difference, and all of them do."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import RunningServer, StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
RUNNERS, SLOTS = 3, 2
ENDED = tuple(f'translator_finished_total{{reason="{reason}"}}' for reason in ("eos", "length"))
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub
Connect = Callable[[RunningServer], Stub]


@pytest.fixture(scope="module")
def several(start_server: StartServer, artifact: Path) -> Iterator[RunningServer]:
    with start_server(artifact, f"--runners={RUNNERS}", f"--slots={SLOTS}") as running:
        yield running


def options_of(i: int) -> dict[str, Any]:
    return (
        {"beam_size": 1, "skip_scores": i % 2 == 0},
        {"beam_size": 1 + i % 6},
        {"sampling": pb.Sampling(seed=i, top_k=20)},
        {"contrastive_search": pb.ContrastiveSearch(top_k=3)},
    )[i % 4]


def test_a_text_gets_from_several_runners_what_it_gets_from_one(
    several: RunningServer,
    server: RunningServer,
    connect: Connect,
    make_request: MakeRequest,
    pairs: list[tuple[str, str]],
) -> None:
    """Calls of one text and of many, all at once, against one call after the other."""
    rng = random.Random(23)
    requests = [
        make_request(
            *(pair[0] for pair in rng.sample(pairs, rng.choice([1, 3, 12]))),
            segmentation=pb.SEGMENTATION_NONE,
            **options_of(i),
        )
        for i in range(24)
    ]
    before = several.scrape()
    stub = connect(several)
    calls = [stub.Translate.future(request) for request in requests]
    found = [call.result(PATIENCE_SECONDS) for call in calls]
    after = several.settled()
    one = connect(server)
    for request, response in zip(requests, found, strict=True):
        assert list(response.items) == list(one.Translate(request, timeout=PATIENCE_SECONDS).items)
    num_texts = sum(len(request.texts) for request in requests)
    assert sum(after[series] - before[series] for series in ENDED) == num_texts


def test_all_runners_work_and_the_page_counts_them_all(
    several: RunningServer, connect: Connect, long_request: pb.TranslateRequest
) -> None:
    stub = connect(several)
    calls = [stub.Translate.future(long_request) for _ in range(RUNNERS * SLOTS + 1)]
    several.wait_until_running(RUNNERS * SLOTS)
    several.wait_until_queued(1)
    assert several.scrape()['translator_slots{model="en-it"}'] == RUNNERS * SLOTS
    assert all(call.cancel() for call in calls)
    several.wait_until_running(0)
    several.wait_until_queued(0)


def test_a_stop_waits_for_what_every_runner_has_and_for_what_none_has_yet(
    start_server: StartServer, artifact: Path, connect: Connect, long_request: pb.TranslateRequest
) -> None:
    with start_server(artifact, "--runners=2", "--slots=1", f"--drain-seconds={PATIENCE_SECONDS}") as running:
        stub = connect(running)
        calls = [stub.Translate.future(long_request) for _ in range(3)]
        running.wait_until_running(2)
        running.wait_until_queued(1)
        running.process.send_signal(signal.SIGTERM)
        for call in calls:
            assert call.result(PATIENCE_SECONDS).items[0].translation.text
        assert running.process.wait(PATIENCE_SECONDS) == 0
