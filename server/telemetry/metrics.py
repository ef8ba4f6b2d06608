"""Every Prometheus metric of the server, and no other place that names one.

Labels come from configuration alone: never from text, a user, or raw input.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from server.documents.warnings import WarningReason
from server.telemetry.model_metrics import ModelMetrics
from server.telemetry.pair_labels import PairLabels

LATENCY_SECONDS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    1.5,
    2.5,
    5.0,
    10.0,
)
STAGE_SECONDS = (0.0005, 0.001, 0.0025, *LATENCY_SECONDS)
SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RATIOS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

STAGES = ("validate", "tokenize", "queue", "encode", "decode", "detokenize")
PHASES = ("encode", "decode_step")
FINISH_REASONS = ("eos", "length", "cancelled", "deadline", "error")
REJECT_REASONS = (
    "queue_full",
    "overload",
    "deadline",
    "invalid",
    "model_memory",
    "model_load",
    "draining",
    "unauthenticated",
    "permission",
    "quota",
)
LOAD_OUTCOMES = ("loaded", "failed", "no_memory")
UNLOAD_REASONS = ("idle", "room")
RELOAD_OUTCOMES = ("unchanged", "loaded", "refused")
ERROR_KINDS = ("out_of_memory", "cuda", "runtime", "internal")

_RPC_LABELS = ("grpc_type", "grpc_service", "grpc_method")


class Metrics:
    """The metrics of one server process, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # half the page again, and nothing here asks when a series began
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._add_calls(registry)
        stage = Histogram(
            "translator_stage_duration_seconds",
            "Time in each stage: of a call (validate, tokenize, detokenize) or a sequence (the others).",
            ("stage",),
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self.stage_seconds = {name: stage.labels(name) for name in STAGES}
        batch = Histogram(
            "translator_batch_duration_seconds",
            "Time of one encoder run or decode step.",
            ("phase",),
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self.batch_seconds = {name: batch.labels(name) for name in PHASES}
        sequences = Histogram(
            "translator_batch_sequences",
            "Sequences encoded at once, or advanced in one decode step.",
            ("phase",),
            buckets=SEQUENCES,
            registry=registry,
        )
        self.batch_sequences = {name: sequences.labels(name) for name in PHASES}
        padding = Histogram(
            "translator_batch_padding_ratio",
            "Share of computed source tokens (encode) or rows (decode_step) that was padding.",
            ("phase",),
            buckets=RATIOS,
            registry=registry,
        )
        self.batch_padding = {name: padding.labels(name) for name in PHASES}
        self.source_tokens = Histogram(
            "translator_source_tokens", "Tokens of each source sequence.", buckets=TOKENS, registry=registry
        )
        self.target_tokens = Histogram(
            "translator_target_tokens", "Tokens of each target sequence.", buckets=TOKENS, registry=registry
        )
        self.tokens = Counter(
            "translator_tokens", "Tokens translated.", ("direction", "language_pair"), registry=registry
        )
        self.pair_labels = PairLabels()
        self.decode_steps = Counter("translator_decode_steps", "Decode steps.", registry=registry)
        finished = Counter(
            "translator_finished", "Sequences that ended, by reason.", ("reason",), registry=registry
        )
        self.finished = {reason: finished.labels(reason) for reason in FINISH_REASONS}
        rejected = Counter(
            "translator_requests_rejected",
            "Calls refused before translating, by reason.",
            ("reason",),
            registry=registry,
        )
        self.rejected = {reason: rejected.labels(reason) for reason in REJECT_REASONS}
        self.output_truncated = Counter(
            "translator_output_truncated",
            "Sequences ended by the token limit.",
            ("language_pair",),
            registry=registry,
        )
        warnings = Counter(
            "translator_warnings",
            "What translations could not keep, and what looked wrong in them, by reason.",
            ("reason",),
            registry=registry,
        )
        self.warnings = {reason: warnings.labels(reason) for reason in WarningReason}
        self.queue_requests = Gauge(
            "translator_queue_requests", "Sequences that wait for a slot.", ("model",), registry=registry
        )
        self.queue_tokens = Gauge(
            "translator_queue_tokens", "Source tokens that wait for a slot.", ("model",), registry=registry
        )
        self.queue_limit = Gauge(
            "translator_queue_limit_requests", "Sequences that may wait.", ("model",), registry=registry
        )
        self.running_sequences = Gauge(
            "translator_running_sequences", "Slots in use.", ("model",), registry=registry
        )
        self.slots = Gauge("translator_slots", "Slots.", ("model",), registry=registry)
        errors = Counter(
            "translator_inference_errors",
            "Failures of ONNX Runtime, and of our own code (internal).",
            ("kind",),
            registry=registry,
        )
        self.inference_errors = {kind: errors.labels(kind) for kind in ERROR_KINDS}
        self.event_loop_lag = Histogram(
            "translator_event_loop_lag_seconds",
            "How late the event loop wakes a task that is due.",
            buckets=LAG_SECONDS,
            registry=registry,
        )
        self.provider_info = Gauge(
            "translator_execution_provider_info",
            "The provider that sessions really use, and the device asked for.",
            ("model", "provider", "requested"),
            registry=registry,
        )
        self.model_info = Gauge(
            "translator_model_info", "A loaded model.", ("model", "sha256", "precision"), registry=registry
        )
        self.build_info = Gauge("translator_build_info", "This build.", ("version",), registry=registry)
        self.model_load_seconds = Gauge(
            "translator_model_load_seconds", "Time to load and check a model.", ("model",), registry=registry
        )
        self.model_warm_up_seconds = Gauge(
            "translator_model_warm_up_seconds",
            "Part of that time in which it checked itself and ran all that is run first.",
            ("model",),
            registry=registry,
        )
        self.model_loaded = Gauge(
            "translator_model_loaded",
            "Whether a model that is served is in memory.",
            ("model",),
            registry=registry,
        )
        loads = Counter(
            "translator_model_loads",
            "Models that a call needed and that were not in memory, by what came of it.",
            ("outcome",),
            registry=registry,
        )
        self.model_loads = {outcome: loads.labels(outcome) for outcome in LOAD_OUTCOMES}
        unloads = Counter(
            "translator_model_unloads",
            "Models that left memory while they are served, by reason: nobody asked, or another needed room.",
            ("reason",),
            registry=registry,
        )
        self.model_unloads = {reason: unloads.labels(reason) for reason in UNLOAD_REASONS}
        reloads = Counter(
            "translator_model_reloads",
            "Artifact folders that were read again, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self.model_reloads = {outcome: reloads.labels(outcome) for outcome in RELOAD_OUTCOMES}
        self.tls_expiry = Gauge(
            "translator_tls_certificate_expiry_timestamp_seconds",
            "When the TLS certificate in use ends, in unix seconds; 0 without TLS.",
            registry=registry,
        )

    def _add_calls(self, registry: CollectorRegistry) -> None:
        self.rpc_started = Counter("grpc_server_started", "RPCs started.", _RPC_LABELS, registry=registry)
        self.rpc_handled = Counter(
            "grpc_server_handled",
            "RPCs completed, by status code.",
            (*_RPC_LABELS, "grpc_code"),
            registry=registry,
        )
        self.rpc_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from an RPC's arrival to its answer.",
            _RPC_LABELS,
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self.abandoned_calls = Counter(
            "translator_abandoned_calls",
            "Calls that ended before their message was read; no other metric counts them.",
            registry=registry,
        )
        self.tenant_calls = Counter(
            "translator_tenant_calls",
            "Calls of each tenant of the access file.",
            ("tenant",),
            registry=registry,
        )
        self.tenant_tokens = Counter(
            "translator_tenant_source_tokens",
            "Source tokens that count against each tenant's quota, whether it has one or not.",
            ("tenant",),
            registry=registry,
        )
        self.tenant_refusals = Counter(
            "translator_tenant_refusals",
            "Calls of each tenant that were refused, by what it may not do or has used up.",
            ("tenant", "reason"),
            registry=registry,
        )
        self.access_refused = Gauge(
            "translator_access_file_refused",
            "Whether the newest access file is refused, and the rules from before stay; 0 without one.",
            registry=registry,
        )
        self.closed_connections = Counter(
            "translator_closed_connections",
            "Connections closed because their clients cancelled too many calls.",
            registry=registry,
        )

    def of_model(self, name: str) -> ModelMetrics:
        """The series of a model of that name, to be set and, when it goes, removed together."""
        return ModelMetrics(self, name)
