"""Rows 6 and 7: the processes and their GPUs, and the fleet."""

from __future__ import annotations

from deploy.grafana.foreign import DCGM_EXPORTER, KUBE_STATE_METRICS, note
from deploy.grafana.panels import PanelBuilder, Query, lines, number
from deploy.grafana.rows_calls import TRANSLATE


def _of_our_pods(series: str) -> str:
    """DCGM's pod is called exported_pod where the scrape has a label pod of its own."""
    return f'({series}{{pod=~"traghetto.*"}} or {series}{{exported_pod=~"traghetto.*"}})'


def gpu_and_process() -> list[PanelBuilder]:
    """Row 6."""
    used, free = _of_our_pods("DCGM_FI_DEV_FB_USED"), _of_our_pods("DCGM_FI_DEV_FB_FREE")
    return [
        lines(
            "Memory",
            "bytes",
            Query(expr='process_resident_memory_bytes{job="$job"}', legend="{{instance}}"),
        ),
        lines(
            "CPU",
            "none",
            Query(
                expr='rate(process_cpu_seconds_total{job="$job"}[$__rate_interval])', legend="{{instance}}"
            ),
            note="Processors in use.",
        ),
        lines(
            "GPU memory",
            "percentunit",
            Query(expr=f"{used} / ({used} + {free})", legend="{{pod}}{{exported_pod}} {{gpu}}"),
            most=1,
            note=note(DCGM_EXPORTER),
        ),
        lines(
            "GPU utilisation",
            "percent",
            Query(expr=_of_our_pods("DCGM_FI_DEV_GPU_UTIL"), legend="{{pod}}{{exported_pod}} {{gpu}}"),
            most=100,
            note=note(DCGM_EXPORTER),
        ),
        lines(
            "Restarts",
            "none",
            Query(expr='changes(process_start_time_seconds{job="$job"}[1h])', legend="{{instance}}"),
            width=4,
            note="Within an hour, at the same address.",
        ),
        lines(
            "Container restarts",
            "none",
            Query(
                expr="sum by (pod)"
                ' (increase(kube_pod_container_status_restarts_total{container="traghetto"}[1h]))',
                legend="{{pod}}",
            ),
            width=4,
            note=f"Within an hour. {note(KUBE_STATE_METRICS)}",
        ),
        number(
            "Provider in use",
            "none",
            Query(
                expr='count by (model, provider, requested) (translator_execution_provider_info{job="$job"})',
                legend="{{model}}: {{provider}}, asked for {{requested}}",
            ),
            note="Servers.",
        ),
        lines(
            "Inference errors",
            "none",
            Query(
                expr='sum by (kind) (increase(translator_inference_errors_total{job="$job"}[10m]))',
                legend="{{kind}}",
            ),
            width=4,
            note="Within ten minutes.",
        ),
        number(
            "Certificates, time left",
            "s",
            Query(
                expr='(translator_tls_certificate_expiry_timestamp_seconds{job="$job"} > 0) - time()',
                legend="{{instance}}",
            ),
            note="Empty without TLS.",
        ),
    ]


def fleet() -> list[PanelBuilder]:
    """Row 7."""
    started = f"rate(grpc_server_started_total{{{TRANSLATE}}}[$__rate_interval])"
    return [
        lines(
            "Traffic share by pod",
            "percentunit",
            Query(
                expr=f"sum by (instance) ({started}) / on () group_left () (sum({started}) > 0)",
                legend="{{instance}}",
            ),
            width=8,
            most=1,
            stacked=True,
            note="Shows a balance by connections instead of calls.",
        ),
        lines(
            "Replicas",
            "none",
            Query(expr='sum(up{job="$job"})', legend="up"),
            Query(expr='count(up{job="$job"})', legend="targets"),
            width=4,
        ),
        lines(
            "Autoscaler",
            "none",
            *(
                Query(
                    expr=f'kube_horizontalpodautoscaler_{series}{{horizontalpodautoscaler=~"(keda-hpa-)?traghetto.*"}}',
                    legend=legend,
                )
                for series, legend in (("status_current_replicas", "replicas"), ("spec_max_replicas", "most"))
            ),
            width=4,
            note=note(KUBE_STATE_METRICS),
        ),
        number(
            "Models running",
            "none",
            Query(
                expr='count by (model, sha256, precision) (translator_model_info{job="$job"})',
                legend="{{model}} {{precision}} {{sha256}}",
            ),
            width=4,
            note="Servers of each version.",
        ),
        number(
            "Builds running",
            "none",
            Query(expr='count by (version) (translator_build_info{job="$job"})', legend="{{version}}"),
            width=4,
            note="Servers of each version.",
        ),
        lines(
            "Models in memory",
            "none",
            Query(expr='sum by (model) (translator_model_loaded{job="$job"})', legend="{{model}}"),
            width=12,
            stacked=True,
            note="Servers that have it there; others load it when a call needs it.",
        ),
        lines(
            "Models loaded and dropped",
            "ops",
            Query(
                expr='sum by (outcome) (rate(translator_model_loads_total{job="$job"}[$__rate_interval]))',
                legend="{{outcome}}",
            ),
            Query(
                expr='sum by (reason) (rate(translator_model_unloads_total{job="$job"}[$__rate_interval]))',
                legend="left: {{reason}}",
            ),
            width=12,
            note="Many of both: too little --model-memory-gib or --pool-gib for the models in use.",
        ),
    ]
