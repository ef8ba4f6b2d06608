"""Many calls at once on few slots: every answer is right, none is lost, short ones overtake long ones."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from tests.running_server import RunningServer, StartServer, sequences_a_step
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
PAIRS = ("en-it", "it-en")
ENDED = tuple(f'translator_finished_total{{reason="{reason}"}}' for reason in ("eos", "length"))
CANCELLED = 'translator_finished_total{reason="cancelled"}'
LATE = 'translator_finished_total{reason="deadline"}'
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub


@pytest.fixture(scope="module")
def small_server(start_server: StartServer, artifact: str) -> Iterator[RunningServer]:
    """Two slots, one of each runner: one sequence more must wait."""
    with start_server(artifact, "--runners=2", "--slots=1", "--queue-late-calls") as running:
        yield running


def num_ended(page: dict[str, float]) -> float:
    """Texts translated to their end or to their limit."""
    return sum(page[series] for series in ENDED)


def test_mixed_calls_get_what_each_text_gets_alone(
    server: RunningServer,
    stub: Stub,
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
    pairs: list[tuple[str, str]],
) -> None:
    rng = random.Random(11)
    requests = []
    for i, beam_size in enumerate((1, 2, 4, 5, 1, 4) * 5):
        texts = [pair[i % 2] for pair in rng.sample(pairs, rng.randint(1, 3))]
        requests.append(make_request(*texts, pair=PAIRS[i % 2], beam_size=beam_size))
    alone = {
        i: [
            stub.Translate(make_request(text, pair=PAIRS[i % 2], beam_size=request.options.beam_size)).items[
                0
            ]
            for text in request.texts
        ]
        for i, request in enumerate(requests)
    }
    before = server.scrape()
    given_up = [stub.Translate.future(long_request) for _ in range(2)]
    server.wait_until_running(2)
    calls = {i: stub.Translate.future(requests[i]) for i in rng.sample(range(30), 30)}
    server.wait_until(lambda found: num_ended(found) > num_ended(before))
    assert all(call.cancel() for call in given_up)
    for i, call in calls.items():
        assert list(call.result(PATIENCE_SECONDS).items) == alone[i]
    server.wait_for(CANCELLED, before[CANCELLED] + len(given_up))
    num_sentences = sum(len(item.translation.segments) for items in alone.values() for item in items)
    assert num_ended(server.scrape()) - num_ended(before) == num_sentences


def test_a_short_text_does_not_wait_for_a_long_one(
    server: RunningServer, stub: Stub, make_request: MakeRequest, long_request: pb.TranslateRequest
) -> None:
    long_call = stub.Translate.future(long_request)
    server.wait_until_running(1)
    short = stub.Translate(make_request("Good morning."), timeout=PATIENCE_SECONDS)
    assert short.items[0].translation.text
    assert not long_call.done()
    long_call.cancel()
    server.wait_until_running(0)


def test_sixteen_calls_at_once_share_their_decode_steps(
    start_server: StartServer,
    artifact: str,
    connect: Callable[[RunningServer], Stub],
    make_request: MakeRequest,
) -> None:
    with start_server(artifact, "--slots=32") as roomy:
        stub = connect(roomy)
        before = roomy.scrape()
        request = make_request("🛶🎭" * 20, beam_size=1, max_target_tokens=256)
        calls = [stub.Translate.future(request) for _ in range(16)]
        for call in calls:
            call.result(PATIENCE_SECONDS)
        assert sequences_a_step(before, roomy.scrape()) > 8


def test_the_slot_of_a_cancelled_call_is_used_while_the_others_go_on(
    small_server: RunningServer,
    connect: Callable[[RunningServer], Stub],
    make_request: MakeRequest,
    long_request: pb.TranslateRequest,
) -> None:
    stub = connect(small_server)
    before = small_server.scrape()
    given_up, going_on = stub.Translate.future(long_request), stub.Translate.future(long_request)
    small_server.wait_until_running(2)
    waiting = stub.Translate.future(make_request("Good morning."))
    small_server.wait_until_queued(1)
    assert not waiting.done()
    given_up.cancel()
    assert waiting.result(PATIENCE_SECONDS).items[0].translation.text
    assert not going_on.done()
    small_server.wait_for(CANCELLED, before[CANCELLED] + 1)
    going_on.cancel()
    small_server.wait_until_running(0)


def test_a_deadline_ends_calls_that_run_and_calls_that_wait_and_counts_as_such(
    small_server: RunningServer, connect: Callable[[RunningServer], Stub], long_request: pb.TranslateRequest
) -> None:
    """The client gives up at the same moment, a little before or after the server does.

    A call takes longer among others than alone: none ends within the time that one takes.
    """
    stub = connect(small_server)
    started = time.monotonic()
    stub.Translate(long_request, timeout=PATIENCE_SECONDS)
    alone = time.monotonic() - started
    before = small_server.settled()
    calls = [stub.Translate.future(long_request, timeout=alone * (0.3 + 0.01 * i)) for i in range(60)]
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call.result(PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    small_server.wait_until_running(0)
    small_server.wait_until_queued(0)
    counted = {name: value - before.get(name, 0) for name, value in small_server.settled().items()}
    codes = {name: n for name, n in counted.items() if name.startswith("grpc_server_handled_total") and n}
    assert [name for name in codes if "DEADLINE_EXCEEDED" not in name] == []
    assert counted[LATE] == sum(codes.values()) > 0
    assert counted[CANCELLED] == 0


def test_hypotheses_come_best_first_and_the_best_is_the_translation(
    stub: Stub, make_request: MakeRequest
) -> None:
    request = make_request("The cat is on the table.", beam_size=5, num_hypotheses=5, length_penalty=0.6)
    found = stub.Translate(request).items[0].translation
    scores = [hypothesis.score for hypothesis in found.hypotheses]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    for h in found.hypotheses:
        assert h.score == pytest.approx(h.log_prob / ((5 + h.target_tokens) / 6) ** 0.6, rel=1e-5)
    best = found.hypotheses[0]
    assert (found.text, found.stop_reason, found.target_tokens) == (
        best.text,
        best.stop_reason,
        best.target_tokens,
    )
    fewer = stub.Translate(make_request("The cat is on the table.", beam_size=5, length_penalty=0.6))
    assert list(fewer.items[0].translation.hypotheses) == [best]


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 1},
        {"beam_size": 4, "num_hypotheses": 3, "length_penalty": 0.5},
        {"sampling": pb.Sampling(seed=3)},
        {"contrastive_search": pb.ContrastiveSearch()},
    ],
    ids=["greedy", "beams", "sampling", "contrastive search"],
)
def test_skipped_scores_are_absent_and_all_else_is_the_same(
    stub: Stub, make_request: MakeRequest, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    texts = ["", *(english for english, _ in pairs[:20])]
    scored = list(stub.Translate(make_request(*texts, **options)).items)
    bare = list(stub.Translate(make_request(*texts, skip_scores=True, **options)).items)
    for item in scored:
        for part in (item.translation, *item.translation.segments):
            part.ClearField("mean_token_probability")
        for scored_part in (*item.translation.hypotheses, *item.translation.segments):
            assert scored_part.HasField("score")
            assert scored_part.HasField("log_prob")
            scored_part.ClearField("score")
            scored_part.ClearField("log_prob")
    assert bare == scored


def test_whoever_skips_scores_takes_them_from_nobody_else(
    stub: Stub, make_request: MakeRequest, pairs: list[tuple[str, str]]
) -> None:
    scored, bare = (
        make_request(*(english for english, _ in pairs[20:40]), beam_size=1, skip_scores=skip)
        for skip in (False, True)
    )
    alone = [list(stub.Translate(request).items) for request in (scored, bare)]
    calls = [stub.Translate.future(request) for request in (bare, scored, bare, scored)]
    found = [list(call.result(PATIENCE_SECONDS).items) for call in calls]
    assert found == [alone[1], alone[0], alone[1], alone[0]]


def test_absent_options_mean_the_defaults(stub: Stub, make_request: MakeRequest) -> None:
    text = "We should leave before it starts to rain."
    explicit = make_request(text, beam_size=4, length_penalty=1.0, num_hypotheses=1)
    assert stub.Translate(make_request(text)) == stub.Translate(explicit)


def test_a_translation_cut_by_the_limit_says_so(stub: Stub, make_request: MakeRequest) -> None:
    for beam_size in (1, 4):
        request = make_request("The cat is on the table.", beam_size=beam_size, max_target_tokens=3)
        found = stub.Translate(request).items[0].translation
        assert (found.stop_reason, found.target_tokens) == (pb.STOP_REASON_MAX_TARGET_TOKENS, 3)


def test_a_hundred_texts_of_one_call_keep_their_order(
    stub: Stub, make_request: MakeRequest, pairs: list[tuple[str, str]]
) -> None:
    texts = [pair[0] for pair in pairs[:100]]
    items = list(stub.Translate(make_request(*texts, beam_size=1), timeout=PATIENCE_SECONDS).items)
    backwards = stub.Translate(make_request(*texts[::-1], beam_size=1), timeout=PATIENCE_SECONDS)
    assert items == list(backwards.items)[::-1]
    assert len({item.translation.text for item in items}) > 50
    for i in range(0, 100, 17):
        assert [items[i]] == list(stub.Translate(make_request(texts[i], beam_size=1)).items)
