"""A fixture in place of kube-state-metrics and DCGM: it gives the dashboard's foreign series, made up."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from deploy.grafana.foreign import FOREIGN_SERIES

POD = "traghetto-fixture"
_LABELS = {
    "DCGM": {"pod": POD, "gpu": "0"},
    "kube_horizontalpodautoscaler": {"horizontalpodautoscaler": "traghetto", "namespace": "fixture"},
    "kube_pod": {"container": "traghetto", "pod": POD},
}
_VALUES = {
    "DCGM_FI_DEV_FB_FREE": 60_000.0,
    "DCGM_FI_DEV_FB_USED": 20_000.0,
    "kube_horizontalpodautoscaler_spec_max_replicas": 4.0,
    "kube_horizontalpodautoscaler_status_current_replicas": 2.0,
}


@contextmanager
def run_exporter() -> Iterator[str]:
    """Serve every foreign series; gives the address."""
    registry = CollectorRegistry()
    for name in FOREIGN_SERIES:
        (labels,) = (found for prefix, found in _LABELS.items() if name.startswith(prefix))
        if name.endswith("_total"):
            Counter(name, "Made up.", [*labels], registry=registry).labels(**labels).inc()
            continue
        gauge = Gauge(name, "Made up.", [*labels], registry=registry).labels(**labels)
        if name in _VALUES:
            gauge.set(_VALUES[name])
        else:  # a share of something that is in use
            gauge.set_function(lambda: 60 + 30 * math.sin(time.monotonic()))
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
