"""Two real servers, one with TLS, under load of every kind, watched by a real Prometheus with our rules."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc

from deploy.grafana.foreign import FOREIGN_SERIES
from deploy.grafana.variables import expand
from model.text.parallel_text import read_pairs
from tests.certificates import Authority
from tests.deploy.fast_time import prometheus_config
from tests.deploy.foreign_exporter import run_exporter
from tests.deploy.live_servers import stub_of, target_of
from tests.deploy.monitoring import Prometheus, Samples, run_prometheus
from tests.deploy.rule_files import ROOT, RULE_FILES
from tests.running_server import ARTIFACT, long_request, make_request, run_server
from traghetto import CallError, Client
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

SLOTS, LIMIT = 4, 16
RATE_INTERVAL = "5s"
SECONDS = 15.0
_STEP_SECONDS = 1.0
_LATE_SECONDS = 0.15  # a deadline that no long text meets
_CALLS_A_TURN = 3

Found = list[tuple[dict[str, str], Samples]]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was seen.

    Args:
        codes: gRPC's codes as clients met them.
        start, end: When the load began and ended, unix seconds.
    """

    prometheus: Prometheus
    codes: Counter[str]
    start: float
    end: float

    def ask(self, expr: str) -> Found:
        """A panel's query over the load, its variables replaced; samples that are numbers."""
        found = self.prometheus.series(expand(expr, RATE_INTERVAL), self.start, self.end, _STEP_SECONDS)
        finite = [
            (labels, [(at, value) for at, value in samples if math.isfinite(value)])
            for labels, samples in found
        ]
        return [(labels, samples) for labels, samples in finite if samples]


@contextmanager
def watched_servers(folder: Path, seconds: float = SECONDS) -> Iterator[Watched]:
    """Start all, send load for so long, and leave Prometheus running."""
    authority = Authority()
    certificate, key = authority.issue().write(folder / "tls")
    tls = (f"--tls-certificate={certificate}", f"--tls-key={key}")
    with ExitStack() as running:
        servers = [
            running.enter_context(
                run_server(
                    folder / f"server-{n}.log", ARTIFACT, f"--slots={SLOTS}", f"--max-queue={LIMIT}", *more
                )
            )
            for n, more in enumerate(((), tls))
        ]
        config = prometheus_config([target_of(one) for one in servers], [str(path) for path in RULE_FILES])
        exporter = running.enter_context(run_exporter())
        for name in sorted(set(FOREIGN_SERIES.values())):
            config["scrape_configs"].append(
                {
                    "job_name": name,
                    "static_configs": [{"targets": [exporter]}],
                    # Each job its own series, as if there were two exporters.
                    "metric_relabel_configs": [
                        {
                            "source_labels": ["__name__"],
                            "regex": "|".join(one for one in FOREIGN_SERIES if FOREIGN_SERIES[one] == name),
                            "action": "keep",
                        }
                    ],
                }
            )
        prometheus = running.enter_context(run_prometheus(folder, config))
        prometheus.wait_until('count(up{job="traghetto"} == 1) == 2')
        start = time.time()
        stubs = [
            running.enter_context(stub_of(one, trusted))
            for one, trusted in zip(servers, (None, authority.certificate), strict=True)
        ]
        with Client(servers[0].address) as client:
            codes = _send(client, stubs, seconds)
        yield Watched(prometheus=prometheus, codes=codes, start=start, end=time.time())


def _send(client: Client, stubs: list[pb_grpc.TranslationServiceStub], seconds: float) -> Counter[str]:
    """The first server gets most of it, so that panels of several pods show a lopsided balance."""
    texts = [english for english, _ in read_pairs(ROOT / "tests/data/en-it.tsv")]
    rng = random.Random(1)
    codes: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for stub in (stubs[0], stubs[0], stubs[1]):
            codes += _turn(stub, rng.sample(texts, _CALLS_A_TURN))
        with contextlib.suppress(CallError):
            client.translate(rng.sample(texts, LIMIT), "en", "it", beam_size=1)
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
        *(stub.Translate.future(make_request(*[texts[0]] * LIMIT, beam_size=1)) for _ in range(2)),
    ]
    codes = Counter([_code(late)])
    given_up.cancel()
    return codes + Counter(_code(call) for call in (given_up, *calls))


def _code(call: grpc.Future[pb.TranslateResponse]) -> str:
    """Wait for a call's end."""
    with contextlib.suppress(grpc.FutureCancelledError):
        call.exception()
    return cast("grpc.Call", call).code().name
