"""Rows 4 and 5: what the batches look like, and how full the servers are."""

from __future__ import annotations

from deploy.grafana.panels import PanelBuilder, Query, heat_map, lines
from deploy.grafana.rows_calls import mean, quantile


def _rate(counter: str, label: str) -> Query:
    return Query(
        expr=f'sum by ({label}) (rate({counter}{{job="$job"}}[$__rate_interval]))', legend=f"{{{{{label}}}}}"
    )


def batching() -> list[PanelBuilder]:
    """Row 4."""
    sequences = "translator_batch_sequences"
    return [
        lines(
            "Mean batch",
            "none",
            Query(expr=mean(sequences, 'job="$job"', "phase"), legend="{{phase}}"),
            note="Texts encoded at once, or advanced in one step.",
        ),
        heat_map(
            "Batch heat map",
            "none",
            f'sum by (le) (increase({sequences}_bucket{{job="$job",phase="decode_step"}}[$__rate_interval]))',
            note="Decode steps.",
        ),
        lines(
            "Padding",
            "percentunit",
            Query(expr=mean("translator_batch_padding_ratio", 'job="$job"', "phase"), legend="{{phase}}"),
            most=1,
        ),
        lines(
            "Slots in use",
            "percentunit",
            Query(
                expr='sum by (instance, model) (translator_running_sequences{job="$job"})'
                ' / sum by (instance, model) (translator_slots{job="$job"})',
                legend="{{instance}} {{model}}",
            ),
            most=1,
        ),
        lines("Tokens", "none", _rate("translator_tokens_total", "direction"), note="In a second."),
        lines("Steps", "none", _rate("translator_decode_steps_total", "instance"), note="In a second."),
        lines("How translations end", "none", _rate("translator_finished_total", "reason"), stacked=True),
        lines(
            "Cut short",
            "none",
            Query(
                expr='sum(rate(translator_output_truncated_total{job="$job"}[$__rate_interval]))',
                legend="at the token limit",
            ),
            note="In a second. A series begins with the first.",
        ),
        lines(
            "Warnings by reason",
            "none",
            _rate("translator_warnings_total", "reason"),
            note="In a second: what translations could not keep, and what looks wrong in them.",
        ),
    ]


def saturation() -> list[PanelBuilder]:
    """Row 5."""
    return [
        lines(
            "Queue over limit",
            "percentunit",
            Query(
                expr='translator_queue_requests{job="$job"}'
                ' / (translator_queue_limit_requests{job="$job"} > 0)',
                legend="{{instance}} {{model}}",
            ),
            limit=0.8,
        ),
        lines(
            "Queued tokens by pod",
            "none",
            Query(expr='sum by (instance) (translator_queue_tokens{job="$job"})', legend="{{instance}}"),
        ),
        lines("Rejections by reason", "reqps", _rate("translator_requests_rejected_total", "reason")),
        lines(
            "Event-loop lag",
            "s",
            Query(
                expr=quantile(0.99, "translator_event_loop_lag_seconds", 'job="$job"', "instance"),
                legend="{{instance}}",
            ),
            limit=0.1,
            note="p99.",
        ),
        lines(
            "Abandoned calls",
            "reqps",
            _rate("translator_abandoned_calls_total", "instance"),
            limit=10,
            note="Ended before they were read: each takes a turn of the event loop.",
        ),
        lines(
            "Closed connections",
            "none",
            _rate("translator_closed_connections_total", "instance"),
            note="In a second: of clients that cancelled too many calls.",
        ),
    ]
