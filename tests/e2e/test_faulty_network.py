"""The real server and the real client through a proxy that delays, throttles, corrupts, stalls and cuts."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faulty_proxy import FaultyProxy, Harm, Harms, faulty_proxy
from tests.running_server import PATIENCE_SECONDS, RECURRENT, RunningServer, StartServer
from traghetto import CallError, Client, DeadlineExceeded, ServerUnavailable, Translation

# A request of some 4 KB and an answer of some 10: after 2,000 bytes either is on its way, and not yet over.
TEXTS = ["Yes.", "Good morning.", "The cat is on the table."] * 80
MIDDLE = 2000
SHORT_SECONDS = 1.0
ENDS: tuple[Literal["cut", "close", "stall"] | None, ...] = (None, None, "cut", "close", "stall")


@pytest.fixture(scope="module")
def running(start_server: StartServer) -> Iterator[RunningServer]:
    """That it ends with status 0, and that its log has no traceback, `start_server` asserts."""
    with start_server(RECURRENT, "--slots=16") as server:
        yield server


@pytest.fixture(scope="module")
def expected(running: RunningServer) -> list[str]:
    """What the server answers to whoever reaches it directly."""
    with Client(running.address, PATIENCE_SECONDS) as client:
        return texts_of(client)


@pytest.fixture
def proxy(running: RunningServer) -> Iterator[FaultyProxy]:
    """Afterwards the server is as it was: healthy, and with nothing to do."""
    with faulty_proxy(running.address) as between:
        yield between
    for series in ("running_sequences", "queue_requests", "queue_tokens"):
        running.wait_for(f'translator_{series}{{model="en-it-lstm"}}', 0)
    running.settled()
    with grpc.insecure_channel(running.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are not typed
        health = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
    assert health.status == health_pb2.HealthCheckResponse.SERVING


def texts_of(client: Client) -> list[str]:
    """Translations of all texts; none may be missing."""
    results = client.translate(TEXTS, "en", "it", beam_size=1)
    assert all(isinstance(result, Translation) for result in results)
    return [result.text for result in results if isinstance(result, Translation)]


SLOW = {
    "delayed": Harms(request=Harm(delay_seconds=0.1), response=Harm(delay_seconds=0.1)),
    "throttled request": Harms(request=Harm(bytes_per_second=10_000)),
    "throttled answer": Harms(response=Harm(bytes_per_second=20_000)),
}
BROKEN = {
    "cut in the request": Harms(request=Harm(then="cut", after_bytes=MIDDLE)),
    "cut in the answer": Harms(response=Harm(then="cut", after_bytes=MIDDLE)),
    "request closed half": Harms(request=Harm(then="close", after_bytes=MIDDLE)),
    "answer closed half": Harms(response=Harm(then="close", after_bytes=MIDDLE)),
}
NEVER_OPEN = {
    "cut before a byte": Harms(request=Harm(then="cut")),
    "cut before an answer": Harms(response=Harm(then="cut")),
}


@pytest.mark.parametrize("harms", SLOW.values(), ids=SLOW.keys())
def test_what_is_slow_is_waited_for(proxy: FaultyProxy, expected: list[str], harms: Harms) -> None:
    proxy.coming.append(harms)
    with Client(proxy.address, PATIENCE_SECONDS) as client:
        assert texts_of(client) == expected
    assert proxy.num_connections == 1


@pytest.mark.parametrize("harms", [*BROKEN.values(), *NEVER_OPEN.values()], ids=[*BROKEN, *NEVER_OPEN])
def test_what_is_cut_off_is_asked_for_again(proxy: FaultyProxy, expected: list[str], harms: Harms) -> None:
    proxy.coming.append(harms)
    with Client(proxy.address, PATIENCE_SECONDS) as client:
        assert texts_of(client) == expected
    assert proxy.num_connections >= 2


@pytest.mark.parametrize("harms", BROKEN.values(), ids=BROKEN.keys())
def test_a_call_that_two_connections_died_with_is_given_up(proxy: FaultyProxy, harms: Harms) -> None:
    """Whether it is the network that kills them or the call, nobody knows."""
    proxy.coming += [harms] * 2
    with Client(proxy.address, PATIENCE_SECONDS) as client, pytest.raises(ServerUnavailable):
        texts_of(client)


@pytest.mark.parametrize("way", ["request", "response"])
@pytest.mark.parametrize("after_bytes", [0, MIDDLE])
def test_no_call_outlasts_its_deadline(proxy: FaultyProxy, way: str, after_bytes: int) -> None:
    """Where nothing is heard any more nobody but the clock tells."""
    proxy.coming.append(Harms(**{way: Harm(then="stall", after_bytes=after_bytes)}))
    started = time.monotonic()
    with Client(proxy.address, SHORT_SECONDS) as client, pytest.raises((DeadlineExceeded, ServerUnavailable)):
        texts_of(client)
    assert time.monotonic() - started < SHORT_SECONDS + 10


def test_a_caller_gets_the_answer_or_an_error_whatever_the_network_does(
    proxy: FaultyProxy, expected: list[str]
) -> None:
    """Connections are harmed in all ways, at any byte; nobody waits for ever."""
    chance = random.Random(5)

    def harm() -> Harm:
        then = chance.choice(ENDS)
        return Harm(then=then, after_bytes=chance.randrange(8000), delay_seconds=chance.choice((0, 0.02)))

    proxy.coming += [Harms(request=harm(), response=harm()) for _ in range(24)]

    def call(_: int) -> list[str] | None:
        with Client(proxy.address, SHORT_SECONDS) as client:
            try:
                return texts_of(client)
            except CallError:
                return None

    with ThreadPoolExecutor(8) as pool:
        while proxy.coming:
            assert all(answer in (None, expected) for answer in pool.map(call, range(8)))


def test_corrupted_bytes_end_a_call_and_nothing_else(
    running: RunningServer, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Without TLS nobody can tell that a letter is another, but what is no message is an error."""
    del proxy  # each connection has one of its own: gRPC may keep one for the client that comes next
    codes = Counter[grpc.StatusCode]()
    for seed in range(24):
        harm = Harm(then="corrupt", after_bytes=seed * 40, seed=seed)
        with faulty_proxy(running.address) as between, Client(between.address, SHORT_SECONDS) as client:
            # Of requests alone: over damaged answers the process may abort, why is not known yet.
            between.coming.append(Harms(request=harm))
            try:
                client.translate(TEXTS, "en", "it", beam_size=1)
            except CallError as error:
                codes[error.code] += 1
    assert len(codes) > 1, codes
    assert not caplog.records
