"""The metrics' names and labels, which dashboards and alerts rely on."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from server.telemetry.metrics import (
    FINISH_REASONS,
    LATENCY_SECONDS,
    PHASES,
    REJECT_REASONS,
    STAGE_SECONDS,
    STAGES,
    Metrics,
)

RPC = ["grpc_type", "grpc_service", "grpc_method"]
CATALOGUE: dict[str, tuple[str, list[str]]] = {
    "grpc_server_started_total": ("counter", RPC),
    "grpc_server_handled_total": ("counter", [*RPC, "grpc_code"]),
    "grpc_server_handling_seconds": ("histogram", RPC),
    "translator_stage_duration_seconds": ("histogram", ["stage"]),
    "translator_batch_duration_seconds": ("histogram", ["phase"]),
    "translator_batch_sequences": ("histogram", ["phase"]),
    "translator_batch_padding_ratio": ("histogram", ["phase"]),
    "translator_source_tokens": ("histogram", []),
    "translator_target_tokens": ("histogram", []),
    "translator_tokens_total": ("counter", ["direction", "language_pair"]),
    "translator_decode_steps_total": ("counter", []),
    "translator_finished_total": ("counter", ["reason"]),
    "translator_requests_rejected_total": ("counter", ["reason"]),
    "translator_output_truncated_total": ("counter", ["language_pair"]),
    "translator_warnings_total": ("counter", ["reason"]),
    "translator_queue_requests": ("gauge", ["model"]),
    "translator_queue_tokens": ("gauge", ["model"]),
    "translator_queue_limit_requests": ("gauge", ["model"]),
    "translator_running_sequences": ("gauge", ["model"]),
    "translator_slots": ("gauge", ["model"]),
    "translator_inference_errors_total": ("counter", ["kind"]),
    "translator_event_loop_lag_seconds": ("histogram", []),
    "translator_execution_provider_info": ("gauge", ["model", "provider", "requested"]),
    "translator_model_info": ("gauge", ["model", "sha256", "precision"]),
    "translator_build_info": ("gauge", ["version"]),
    "translator_model_load_seconds": ("gauge", ["model"]),
    "translator_model_warm_up_seconds": ("gauge", ["model"]),
    "translator_model_loaded": ("gauge", ["model"]),
    "translator_abandoned_calls_total": ("counter", []),
    "translator_tenant_calls_total": ("counter", ["tenant"]),
    "translator_tenant_source_tokens_total": ("counter", ["tenant"]),
    "translator_tenant_refusals_total": ("counter", ["tenant", "reason"]),
    "translator_access_file_refused": ("gauge", []),
    "translator_closed_connections_total": ("counter", []),
    "translator_model_loads_total": ("counter", ["outcome"]),
    "translator_model_unloads_total": ("counter", ["reason"]),
    "translator_model_reloads_total": ("counter", ["outcome"]),
    "translator_tls_certificate_expiry_timestamp_seconds": ("gauge", []),
}
DEFAULT_PREFIXES = ("process_", "python_")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def page(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_names_and_types_are_those_of_the_catalogue(metrics: Metrics) -> None:
    lines = [line.split() for line in page(metrics).splitlines() if line.startswith("# TYPE")]
    types = {name: kind for _, _, name, kind in lines if not name.startswith(DEFAULT_PREFIXES)}
    assert types == {name: kind for name, (kind, _) in CATALOGUE.items()}


def test_labels_are_those_of_the_catalogue(metrics: Metrics) -> None:
    collectors = [c for c in metrics.registry._collector_to_names if isinstance(c, MetricWrapperBase)]
    found = {}
    for collector in collectors:
        suffix = "_total" if collector._type == "counter" else ""
        found[collector._name + suffix] = list(collector._labelnames)
    assert found == {name: labels for name, (_, labels) in CATALOGUE.items()}


def test_every_metric_says_what_it_is(metrics: Metrics) -> None:
    for family in text_string_to_metric_families(page(metrics)):
        if not family.name.startswith(DEFAULT_PREFIXES):
            assert family.documentation.endswith("."), family.name


def test_series_of_known_labels_stand_at_zero_before_anything_happens(metrics: Metrics) -> None:
    lines = page(metrics).splitlines()
    for name, label, values in (
        ("translator_finished_total", "reason", FINISH_REASONS),
        ("translator_requests_rejected_total", "reason", REJECT_REASONS),
        ("translator_stage_duration_seconds_count", "stage", STAGES),
        ("translator_batch_sequences_count", "phase", PHASES),
    ):
        for value in values:
            assert f'{name}{{{label}="{value}"}} 0.0' in lines


def test_latencies_have_an_edge_at_the_objective_of_half_a_second() -> None:
    assert 0.5 in LATENCY_SECONDS
    assert 0.5 in STAGE_SECONDS
    assert list(STAGE_SECONDS) == sorted(STAGE_SECONDS)


def test_two_servers_of_one_process_share_no_metric(metrics: Metrics) -> None:
    metrics.decode_steps.inc()
    assert "translator_decode_steps_total 0.0" in page(Metrics()).splitlines()
