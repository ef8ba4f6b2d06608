"""What clients send to the servers that the dashboard's tests and its preview watch."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import grpc

from model.text.parallel_text import read_pairs
from tests.deploy.rule_files import ROOT
from tests.running_server import long_request, make_request
from traghetto import CallError, Client
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

Stubs = list[pb_grpc.TranslationServiceStub]

_LATE_SECONDS = 0.15  # a deadline that no long text meets
_CALLS_A_TURN = 3
_FEW_SLOTS, _SHORT_QUEUE = 4, 16
_CALLS_A_SECOND = 25.0  # what both servers together bear with ease on two cores
_FAULTY_CALLS = 0.02  # the share of calls that ask for what is not served


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """A way to send calls, and the size of the servers that it is meant for.

    Args:
        slots, max_queue: Each server's flags.
        send: Calls two servers for so many seconds, and counts gRPC's codes as clients met them.
    """

    slots: int
    max_queue: int
    send: Callable[[Client, Stubs, float], Counter[str]]


def _send_every_end(client: Client, stubs: Stubs, seconds: float) -> Counter[str]:
    """The first server gets most of it, so that panels of several pods show a lopsided balance."""
    texts = _english_texts()
    rng = random.Random(1)
    codes: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for stub in (stubs[0], stubs[0], stubs[1]):
            codes += _turn(stub, rng.sample(texts, _CALLS_A_TURN))
        with contextlib.suppress(CallError):
            client.translate(rng.sample(texts, _SHORT_QUEUE), "en", "it", beam_size=1)
            codes["OK"] += 1
    return codes


def _turn(stub: pb_grpc.TranslationServiceStub, texts: list[str]) -> Counter[str]:
    """Calls that end in every way a client can bring about."""
    given_up = stub.Translate.future(long_request())  # first, while the queue has room
    late = stub.Translate.future(long_request(), timeout=_LATE_SECONDS)
    calls = [stub.Translate.future(make_request(text)) for text in texts]
    calls += [
        stub.Translate.future(make_request(texts[0], beam_size=1, max_target_tokens=2)),
        stub.Translate.future(make_request()),
        stub.Translate.future(make_request(texts[0], pair="en-de")),
        *(stub.Translate.future(make_request(*[texts[0]] * _SHORT_QUEUE, beam_size=1)) for _ in range(2)),
    ]
    codes = Counter([_code(late)])
    given_up.cancel()
    return codes + Counter(_code(call) for call in (given_up, *calls))


def _send_good_day(client: Client, stubs: Stubs, seconds: float) -> Counter[str]:
    """Calls of a few sentences that come at random to both servers alike; none fails through the servers."""
    texts = _english_texts()
    rng = random.Random(1)
    calls = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pair = "en-de" if rng.random() < _FAULTY_CALLS else "en-it"
        request = make_request(*rng.sample(texts, rng.randint(1, 4)), pair=pair, beam_size=rng.choice((1, 4)))
        calls.append(rng.choice(stubs).Translate.future(request))
        time.sleep(rng.expovariate(_CALLS_A_SECOND))
    return Counter(_code(call) for call in calls)


def _english_texts() -> list[str]:
    return [english for english, _ in read_pairs(ROOT / "tests/data/en-it.tsv")]


def _code(call: grpc.Future[pb.TranslateResponse]) -> str:
    """Wait for a call's end."""
    with contextlib.suppress(grpc.FutureCancelledError):
        call.exception()
    return cast("grpc.Call", call).code().name


EVERY_END = Traffic(slots=_FEW_SLOTS, max_queue=_SHORT_QUEUE, send=_send_every_end)
GOOD_DAY = Traffic(slots=32, max_queue=1024, send=_send_good_day)
