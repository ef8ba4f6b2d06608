"""Series on the dashboard that other exporters give, and which; every other series is the servers' own."""

from __future__ import annotations

KUBE_STATE_METRICS = "kube-state-metrics"
DCGM_EXPORTER = "dcgm-exporter"

FOREIGN_SERIES = {
    "DCGM_FI_DEV_FB_FREE": DCGM_EXPORTER,
    "DCGM_FI_DEV_FB_USED": DCGM_EXPORTER,
    "DCGM_FI_DEV_GPU_UTIL": DCGM_EXPORTER,
    "kube_horizontalpodautoscaler_spec_max_replicas": KUBE_STATE_METRICS,
    "kube_horizontalpodautoscaler_status_current_replicas": KUBE_STATE_METRICS,
    "kube_pod_container_status_restarts_total": KUBE_STATE_METRICS,
}


def note(exporter: str) -> str:
    """What a panel on foreign series says of itself."""
    return f"Foreign series: empty without {exporter}."
