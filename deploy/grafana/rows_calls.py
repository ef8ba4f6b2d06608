"""Rows 1 to 3: what clients see, and where the time goes."""

from __future__ import annotations

from deploy.grafana.panels import PanelBuilder, Query, heat_map, lines, number

TRANSLATE = 'job="$job",grpc_service="translation.v1.TranslationService",grpc_method="Translate"'
OBJECTIVE = 0.999
FAST_BURN = 14.4
# Of the recorded series, so that a month costs no more than its number of evaluations.
_MONTH = (
    'sum_over_time(job:translation_failures:rate5m{job="$job"}[30d])'
    ' / (sum_over_time(job:translation_calls:rate5m{job="$job"}[30d]) > 0)'
)


def quantile(share: float, histogram: str, selector: str, *labels: str) -> str:
    """The value below which a share of a histogram's observations lies."""
    by = ", ".join((*labels, "le"))
    buckets = f"sum by ({by}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {buckets})"


def mean(histogram: str, selector: str, label: str) -> str:
    """The mean of a histogram's observations."""
    total, count = (
        f"sum by ({label}) (rate({histogram}_{part}{{{selector}}}[$__rate_interval]))"
        for part in ("sum", "count")
    )
    return f"{total} / ({count} > 0)"


def objective() -> list[PanelBuilder]:
    """Row 1."""
    burn = f'job:translation_failure_ratio:rate{{}}{{{{job="$job"}}}} / {1 - OBJECTIVE:.3f}'
    return [
        number(
            "Availability, 30 days",
            "percentunit",
            Query(expr=f"1 - {_MONTH}", legend="succeeded"),
            note="99.9 % are to succeed. A client's own faults, quota refusals among them, do not count.",
        ),
        number(
            "Error budget left, 30 days",
            "percentunit",
            Query(expr=f"1 - ({_MONTH}) / {1 - OBJECTIVE:.3f}", legend="left"),
            note="Below 0 the month's failures are used up.",
        ),
        lines(
            "Error budget burn",
            "none",
            *(Query(expr=burn.format(window), legend=window) for window in ("5m", "1h", "6h")),
            limit=FAST_BURN,
            note="1 uses up exactly the month's failures; at 14.4 for an hour somebody is paged.",
        ),
        lines(
            "Calls within 0.5 s",
            "percentunit",
            *(
                Query(expr=f'1 - job:translation_slow_ratio:rate{window}{{job="$job"}}', legend=window)
                for window in ("5m", "1h")
            ),
            limit=0.99,
            most=1,
            note="99 % are to be.",
        ),
    ]


def rate_errors_duration() -> list[PanelBuilder]:
    """Row 2."""
    seconds = "grpc_server_handling_seconds"
    faults = "INVALID_ARGUMENT|NOT_FOUND|CANCELLED|UNAUTHENTICATED|PERMISSION_DENIED"
    handled = f"sum(rate(grpc_server_handled_total{{{TRANSLATE}}}[$__rate_interval]))"
    by_clients = (
        f'sum(rate(grpc_server_handled_total{{{TRANSLATE},grpc_code=~"{faults}"}}[$__rate_interval]))'
    )
    return [
        lines(
            "Calls by code",
            "reqps",
            Query(
                expr=f"sum by (grpc_code) (rate(grpc_server_handled_total{{{TRANSLATE}}}[$__rate_interval]))",
                legend="{{grpc_code}}",
            ),
            stacked=True,
        ),
        lines(
            "Share of failures",
            "percentunit",
            Query(expr='job:translation_failure_ratio:rate5m{job="$job"}', legend="ours"),
            Query(expr=f"{by_clients} / ({handled} > 0)", legend="the clients'"),
        ),
        lines(
            "Latency",
            "s",
            *(
                Query(
                    expr=quantile(share, seconds, TRANSLATE),
                    legend=f"p{share * 100:.0f}",
                    with_exemplars=share == 0.99,
                )
                for share in (0.5, 0.95, 0.99)
            ),
            limit=0.5,
        ),
        heat_map(
            "Latency heat map",
            "s",
            f"sum by (le) (increase({seconds}_bucket{{{TRANSLATE}}}[$__rate_interval]))",
        ),
    ]


def where_the_time_goes() -> list[PanelBuilder]:
    """Row 3."""
    stage = "translator_stage_duration_seconds"
    return [
        lines(
            "p99 by stage",
            "s",
            Query(expr=quantile(0.99, stage, 'job="$job"', "stage"), legend="{{stage}}"),
            width=8,
            note="validate, tokenize and detokenize: of a call; queue, encode and decode: of a text.",
        ),
        lines(
            "Queue against compute",
            "s",
            Query(
                expr=mean(stage, 'job="$job",stage=~"queue|encode|decode"', "stage"),
                legend="{{stage}}",
            ),
            width=8,
            stacked=True,
            note="Mean seconds of a text.",
        ),
        lines(
            "p99 of one batch",
            "s",
            Query(
                expr=quantile(0.99, "translator_batch_duration_seconds", 'job="$job"', "phase"),
                legend="{{phase}}",
            ),
            width=8,
        ),
    ]
