"""Both clients against servers that misbehave: what is tried again, for how long, and what is raised."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from tests.unit.traghetto.misbehaving import (
    Context,
    Mortal,
    Service,
    answering,
    busy,
    echo,
    refuse,
    serving,
    stopping,
)
from traghetto import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidText,
    MessageTooLarge,
    Result,
    ServerBusy,
    ServerFault,
    ServerUnavailable,
    Translation,
)
from traghetto.failures import Failure, Kind
from traghetto.pb.translation.v1 import translation_pb2 as pb

PATIENCE_SECONDS = 60.0
Translate = Callable[..., list[Result]]


def with_client(
    address: str, texts: Iterable[str], timeout_seconds: float = PATIENCE_SECONDS
) -> list[Result]:
    with Client(address, timeout_seconds) as client:
        return client.translate(texts, "en", "it")


def with_async_client(
    address: str, texts: Iterable[str], timeout_seconds: float = PATIENCE_SECONDS
) -> list[Result]:
    async def run() -> list[Result]:
        async with AsyncClient(address, timeout_seconds) as client:
            return await client.translate(texts, "en", "it")

    return asyncio.run(run())


def many_with_client(address: str, texts: Iterable[str], **how: Any) -> list[Result]:
    with Client(address, PATIENCE_SECONDS) as client:
        return list(client.translate_many(texts, "en", "it", **how))


def many_with_async_client(address: str, texts: Iterable[str], **how: Any) -> list[Result]:
    async def run() -> list[Result]:
        async with AsyncClient(address, PATIENCE_SECONDS) as client:
            return [result async for result in client.translate_many(texts, "en", "it", **how)]

    return asyncio.run(run())


@pytest.fixture(params=[with_client, with_async_client], ids=["Client", "AsyncClient"])
def translate(request: pytest.FixtureRequest) -> Translate:
    chosen: Translate = request.param
    return chosen


@pytest.fixture(params=[many_with_client, many_with_async_client], ids=["Client", "AsyncClient"])
def translate_many(request: pytest.FixtureRequest) -> Translate:
    chosen: Translate = request.param
    return chosen


def texts_of(results: list[Result]) -> list[str]:
    assert all(isinstance(result, Translation) for result in results)
    return [result.text for result in results if isinstance(result, Translation)]


def test_a_list_longer_than_a_call_takes_becomes_several_calls(translate: Translate) -> None:
    service, texts = Service(echo), [str(i) for i in range(2500)]
    with serving(service) as address:
        assert texts_of(translate(address, texts)) == texts
    assert service.sizes == [1024, 1024, 452]


def test_no_text_needs_no_server(translate: Translate) -> None:
    assert translate("127.0.0.1:1", []) == []


def test_what_is_no_text_is_refused_before_anything_is_sent(translate: Translate) -> None:
    service = Service(echo)
    with serving(service) as address:
        with pytest.raises(TypeError, match="texts is a str"):
            translate(address, "Yes.")
        with pytest.raises(InvalidText, match=r"texts\[1\]"):
            translate(address, ["Yes.", "\ud800"])
    assert service.sizes == []


def test_an_answer_that_is_no_message_is_a_fault_and_no_traceback(
    translate: Translate, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        answering(b"\xff" * 20) as address,
        pytest.raises(ServerFault, match="INTERNAL: the answer does not"),
    ):
        translate(address, ["Yes."])
    assert not caplog.records


def test_a_busy_server_is_asked_again_when_it_says(translate: Translate) -> None:
    service = Service(busy(0.2), busy(0.2), echo)
    with serving(service) as address:
        begun = time.monotonic()
        assert texts_of(translate(address, ["Yes."])) == ["Yes."]
    assert time.monotonic() - begun >= 0.4
    assert len(service.sizes) == 3


def test_the_deadline_is_one_for_all_tries_at_a_full_queue(translate: Translate) -> None:
    service = Service(busy(0.1))
    with serving(service) as address:
        begun = time.monotonic()
        with pytest.raises(ServerBusy, match="the queue is full") as caught:
            translate(address, ["Yes."], 1.0)
        assert time.monotonic() - begun < 2.0  # the last try may begin late, but it ends with the deadline
    assert caught.value.retry_after_seconds == pytest.approx(0.1)
    assert len(service.sizes) >= 2


def test_a_server_that_asks_for_more_patience_than_there_is_ends_the_call_at_once(
    translate: Translate,
) -> None:
    with serving(Service(busy(50))) as address:
        begun = time.monotonic()
        with pytest.raises(ServerBusy) as caught:
            translate(address, ["Yes."], 20.0)
        assert time.monotonic() - begun < 10
    assert caught.value.retry_after_seconds == 50


def test_an_answer_that_does_not_come_ends_with_the_deadline(translate: Translate) -> None:
    def late(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        time.sleep(1.5)
        return echo(request, context)

    with serving(Service(late)) as address, pytest.raises(DeadlineExceeded) as caught:
        translate(address, ["Yes."], 0.3)
    assert caught.value.timeout_seconds == 0.3


def test_a_call_goes_on_to_the_next_server_while_one_stops(translate: Translate) -> None:
    drained, whole = Service(stopping), Service(echo)
    with serving(drained) as first, serving(whole) as second:
        for _ in range(4):
            assert texts_of(translate(f"ipv4:{first},{second}", ["Yes."])) == ["Yes."]
    assert len(whole.sizes) == 4


def test_a_server_that_only_stops_is_given_up(translate: Translate) -> None:
    service = Service(stopping)
    with (
        serving(service) as address,
        pytest.raises(ServerUnavailable, match="UNAVAILABLE: the server is stopping"),
    ):
        translate(address, ["Yes."])
    assert len(service.sizes) == 5


def test_a_call_that_kills_its_server_kills_one_more_and_no_third(translate: Translate) -> None:
    with ExitStack() as stack:
        servers = [Mortal() for _ in range(4)]
        for server in servers:
            stack.callback(server.close)
        with pytest.raises(ServerUnavailable):
            translate("ipv4:" + ",".join(server.address for server in servers), ["Yes."])
        assert sum(server.is_dead for server in servers) <= 2
        assert any(server.is_dead for server in servers)


def test_a_call_whose_server_died_is_answered_by_another(translate: Translate) -> None:
    with ExitStack() as stack:
        mortal, service = Mortal(), Service(echo)
        stack.callback(mortal.close)
        address = stack.enter_context(serving(service))
        while not mortal.is_dead:  # calls go to both in turn
            assert texts_of(translate(f"ipv4:{mortal.address},{address}", ["Yes."])) == ["Yes."]


def test_a_fault_of_the_server_is_not_tried_again(translate: Translate) -> None:
    service = Service(lambda request, context: refuse(context, grpc.StatusCode.INTERNAL, "a fault"))
    with serving(service) as address, pytest.raises(ServerFault, match="INTERNAL: a fault"):
        translate(address, ["Yes."])
    assert service.sizes == [1]


def test_a_message_that_is_too_large_is_not_tried_again(translate: Translate) -> None:
    service = Service(echo)
    with serving(service) as address, pytest.raises(MessageTooLarge):
        translate(address, ["a" * (5 * 1024 * 1024)])
    assert service.sizes == []


def test_no_server_is_reported_soon_and_by_how_it_was_asked(translate: Translate) -> None:
    """The words are gRPC's: by them a call that was never sent is told from one that died with its server."""
    with pytest.raises(ServerUnavailable, match=r"\(asked without TLS\)") as caught:
        translate("127.0.0.1:1", ["Yes."])
    assert Failure(code=caught.value.code, message=caught.value.message).kind is Kind.UNREACHED


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_loopback_address_is_reached_without_the_proxy(
    translate: Translate, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with serving(Service(echo)) as address:
        assert texts_of(translate(address, ["Yes."])) == ["Yes."]


def test_elsewhere_the_message_names_the_proxy(translate: Translate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:1")
    with pytest.raises(ServerUnavailable, match=r"the proxy of http_proxy=http://127\.0\.0\.1:1") as caught:
        translate("192.0.2.1:50051", ["Yes."])
    assert caught.value.proxy == "http_proxy=http://127.0.0.1:1"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_deadline_that_no_call_can_have_is_refused(translate: Translate, seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_seconds is"):
        translate("127.0.0.1:1", ["Yes."], seconds)


def test_many_texts_come_back_in_order_from_calls_of_few(translate_many: Translate) -> None:
    service, texts = Service(echo), [str(i) for i in range(1000)]
    with serving(service) as address:
        assert texts_of(translate_many(address, iter(texts), texts_per_call=7, concurrency=5)) == texts
    assert min(service.sizes) == 1000 % 7
    assert set(service.sizes) == {7, 1000 % 7}


def test_a_call_among_many_waits_for_a_busy_server(translate_many: Translate) -> None:
    with serving(Service(busy(0.05), echo, busy(0.05), echo)) as address:
        texts = [str(i) for i in range(100)]
        assert texts_of(translate_many(address, texts, texts_per_call=3, concurrency=4)) == texts


@pytest.mark.parametrize("how", [{"texts_per_call": 0}, {"texts_per_call": 1025}])
def test_calls_of_no_size_are_refused_at_once(translate_many: Translate, how: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="texts_per_call"):
        translate_many("127.0.0.1:1", ["Yes."], **how)


def test_a_task_that_is_cancelled_gives_its_call_up() -> None:
    is_given_up = threading.Event()

    def wait(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        until = time.monotonic() + PATIENCE_SECONDS
        while context.is_active() and time.monotonic() < until:
            time.sleep(0.01)
        if not context.is_active():
            is_given_up.set()
        return echo(request, context)

    async def run(address: str) -> None:
        async with AsyncClient(address) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.translate(["Yes."], "en", "it"), 0.2)
            assert await asyncio.to_thread(is_given_up.wait, PATIENCE_SECONDS)

    with serving(Service(wait)) as address:
        asyncio.run(run(address))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "limits",
    [{"keepalive_seconds": value} for value in (0, 0.9, -1, float("nan"), float("inf"))]
    + [{"max_message_mib": value} for value in (0, -1, 1025)],
)
def test_limits_of_a_connection_that_grpc_cannot_count_are_refused(
    kind: type[Client | AsyncClient], limits: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(limits))} is "):
        kind("127.0.0.1:1", **limits)


def test_a_client_may_take_larger_messages() -> None:
    text = "a" * (5 << 20)
    with (
        serving(Service(echo), ("grpc.max_receive_message_length", -1)) as address,
        Client(address, PATIENCE_SECONDS, max_message_mib=8, keepalive_seconds=60) as client,
    ):
        assert texts_of(client.translate([text], "en", "it")) == [text]
