"""What the gateway costs: `make gateway-cost`.

The same call by gRPC and through the gateway, in turns: the time of one request alone, and the rate of many
side by side. The clients are plain threads for both ways.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from tests.running_gateway import RunningGateway, run_both
from tests.running_server import ARTIFACT, make_request
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

TEXT = "The cat is on the table."
BODY = json.dumps({"sourceLanguage": "en", "targetLanguage": "it", "texts": [TEXT]})
Way = Callable[[], None]
_PROCESSOR = "process_cpu_seconds_total"


def by_grpc(gateway: RunningGateway) -> Callable[[], Way]:
    """Makes clients that call the server itself, each with a connection of its own."""

    def client() -> Way:
        options = [("grpc.use_local_subchannel_pool", 1)]
        stub = pb_grpc.TranslationServiceStub(grpc.insecure_channel(gateway.server.address, options))

        def ask() -> None:
            assert stub.Translate(make_request(TEXT)).items

        return ask

    return client


def by_http(gateway: RunningGateway) -> Callable[[], Way]:
    """Makes clients that ask the gateway."""

    def client() -> Way:
        connection = http.client.HTTPConnection(gateway.address)

        def ask() -> None:
            connection.request("POST", "/v1/translate", BODY, {"content-type": "application/json"})
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)

        return ask

    return client


def milliseconds(way: Way, count: int) -> list[float]:
    """How long each of some requests takes, one after the other."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        way()
        times.append(1000 * (time.perf_counter() - started))
    return times


def rate(make: Callable[[], Way], seconds: float, num_clients: int) -> float:
    """Requests a second of clients that each send the next as the last is answered."""
    is_over = threading.Event()

    def run(way: Way) -> int:
        count = 0
        while not is_over.is_set():
            way()
            count += 1
        return count

    ways = [make() for _ in range(num_clients)]
    for way in ways:
        way()
    with ThreadPoolExecutor(num_clients) as pool:
        started = time.perf_counter()
        counts = [pool.submit(run, way) for way in ways]
        is_over.wait(seconds)
        is_over.set()
        total = sum(count.result() for count in counts)
        return total / (time.perf_counter() - started)


def processor_milliseconds(gateway: RunningGateway) -> tuple[float, float]:
    """What a request through the gateway takes of a processor: in the gateway, and in the server.

    Unlike time it does not grow with what else the machine does.
    """
    way, count = by_http(gateway)(), 100
    way()
    before = gateway.scrape()[_PROCESSOR], gateway.server.scrape()[_PROCESSOR]
    milliseconds(way, count)
    after = gateway.scrape()[_PROCESSOR], gateway.server.scrape()[_PROCESSOR]
    in_gateway, in_server = (1000 * (new - old) / count for old, new in zip(before, after, strict=True))
    return in_gateway, in_server


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", nargs="?", type=Path, default=ARTIFACT)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, run_both(Path(folder), arguments.artifact) as gateway:
        makes = {"gRPC": by_grpc(gateway), "gateway": by_http(gateway)}
        alone: dict[str, list[float]] = {name: [] for name in makes}
        rates: dict[str, list[float]] = {name: [] for name in makes}
        in_gateway, in_server = processor_milliseconds(gateway)
        for _ in range(arguments.rounds):
            for name, make in makes.items():
                way = make()
                way()
                alone[name] += milliseconds(way, 20)
                rates[name].append(rate(make, arguments.seconds, arguments.clients))
    print(
        f"processor time of a request: {in_gateway:.2f} ms in the gateway, {in_server:.2f} ms in the server"
    )
    times = {name: statistics.median(found) for name, found in alone.items()}
    print(f"one request, median: {times}, added {times['gateway'] - times['gRPC']:.2f} ms")
    shares = [through / direct for through, direct in zip(rates["gateway"], rates["gRPC"], strict=True)]
    print(f"requests a second, median: { {name: statistics.median(found) for name, found in rates.items()} }")
    print(f"share of the rate, by round: {[round(share, 2) for share in shares]}")


if __name__ == "__main__":
    main()
