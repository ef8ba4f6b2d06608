"""Two real servers, one with TLS, under load, watched by a real Prometheus with our rules."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.grafana.foreign import FOREIGN_SERIES
from deploy.grafana.variables import expand
from tests.certificates import Authority
from tests.deploy.fast_time import prometheus_config
from tests.deploy.foreign_exporter import run_exporter
from tests.deploy.live_servers import stub_of, target_of
from tests.deploy.monitoring import Prometheus, Samples, run_prometheus
from tests.deploy.rule_files import RULE_FILES
from tests.deploy.traffic import EVERY_END, Traffic
from tests.running_server import ARTIFACT, run_server
from traghetto import Client

RATE_INTERVAL = "5s"
SECONDS = 15.0
_STEP_SECONDS = 1.0

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
def watched_servers(
    folder: Path, seconds: float = SECONDS, traffic: Traffic = EVERY_END
) -> Iterator[Watched]:
    """Start all, send traffic for so long, and leave Prometheus running."""
    authority = Authority()
    certificate, key = authority.issue().write(folder / "tls")
    tls = (f"--tls-certificate={certificate}", f"--tls-key={key}")
    with ExitStack() as running:
        servers = [
            running.enter_context(
                run_server(
                    folder / f"server-{n}.log",
                    ARTIFACT,
                    f"--slots={traffic.slots}",
                    f"--max-queue={traffic.max_queue}",
                    *more,
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
            codes = traffic.send(client, stubs, seconds)
        yield Watched(prometheus=prometheus, codes=codes, start=start, end=time.time())
