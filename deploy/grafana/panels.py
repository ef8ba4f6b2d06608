"""The three kinds of panels, with the choices that all of a kind share."""

from __future__ import annotations

import string
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Panel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24  # of Grafana's grid
HEIGHT = 7
PanelBuilder = Builder[Panel]


@dataclass(frozen=True, kw_only=True)
class Query:
    """An expression and how its series are called.

    Args:
        legend: Grafana's pattern, {{label}} for a label's value.
        with_exemplars: Show the traces behind it.
    """

    expr: str
    legend: str
    with_exemplars: bool = False


def lines(
    title: str,
    unit: str,
    *queries: Query,
    width: int = 6,
    note: str = "",
    limit: float | None = None,
    stacked: bool = False,
    most: float | None = None,
) -> PanelBuilder:
    """Lines over time.

    Args:
        unit: A unit of Grafana's, "s" for example.
        width: Of the grid's 24.
        limit: Where an alert begins, drawn as a line.
        most: The axis' upper end.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(note)
        .unit(unit)
        .min(0)
        .span(width)
        .height(HEIGHT)
        .datasource(DATASOURCE)
        .fill_opacity(30 if stacked else 5)
        .show_points(common_models.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if most is not None:
        panel.max(most)
    if limit is not None:
        panel.thresholds(_limit(limit))
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
        )
    for target in _targets(queries, PromQueryFormat.TIME_SERIES):
        panel.with_target(target)
    return panel


def number(title: str, unit: str, *queries: Query, width: int = 6, note: str = "") -> PanelBuilder:
    """The newest value of each series, large."""
    panel = (
        stat.Panel()
        .title(title)
        .description(note)
        .unit(unit)
        .span(width)
        .height(HEIGHT)
        .datasource(DATASOURCE)
        .text_mode(common_models.BigValueTextMode.VALUE_AND_NAME)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .color_mode(common_models.BigValueColorMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no traffic")
    )
    for target in _targets(queries, PromQueryFormat.TIME_SERIES):
        panel.with_target(target)
    return panel


def heat_map(title: str, unit: str, buckets: str, *, width: int = 6, note: str = "") -> PanelBuilder:
    """How a histogram's observations spread, over time.

    Args:
        buckets: Increases by `le`.
    """
    panel = (
        heatmap.Panel()
        .title(title)
        .description(note)
        .span(width)
        .height(HEIGHT)
        .datasource(DATASOURCE)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
    )
    for target in _targets((Query(expr=buckets, legend="{{le}}"),), PromQueryFormat.HEATMAP):
        panel.with_target(target)
    return panel


def _limit(value: float) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="transparent"), Threshold(value=value, color="red")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _targets(queries: tuple[Query, ...], form: PromQueryFormat) -> list[prometheus.Dataquery]:
    targets = []
    for name, query in zip(string.ascii_uppercase, queries, strict=False):  # more names than queries
        target = prometheus.Dataquery().ref_id(name).expr(query.expr).legend_format(query.legend)
        targets.append(target.format(form).range().exemplar(query.with_exemplars))
    return targets
