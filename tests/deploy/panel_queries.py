"""The dashboard's panels as its file has them: what Grafana would ask and draw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deploy.grafana.build import DASHBOARD


@dataclass(frozen=True, kw_only=True)
class PanelQuery:
    """One query of a panel."""

    panel: str
    expr: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class DashboardPanel:
    """A panel: kind is Grafana's (row, timeseries, stat, heatmap); place is x, y, width and height."""

    title: str
    kind: str
    unit: str
    description: str
    place: tuple[int, int, int, int]
    queries: tuple[PanelQuery, ...]


def panels(*, with_rows: bool = False) -> list[DashboardPanel]:
    """Every panel, in order."""
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [_panel(panel) for panel in found if with_rows or panel["type"] != "row"]


def queries() -> list[PanelQuery]:
    """Every query of every panel."""
    return [query for panel in panels() for query in panel.queries]


def _panel(found: dict[str, Any]) -> DashboardPanel:
    place = found["gridPos"]
    return DashboardPanel(
        title=found["title"],
        kind=found["type"],
        unit=found.get("fieldConfig", {}).get("defaults", {}).get("unit", "none"),
        description=found.get("description", ""),
        place=(place["x"], place["y"], place["w"], place["h"]),
        queries=tuple(
            PanelQuery(panel=found["title"], expr=target["expr"], legend=target["legendFormat"])
            for target in found.get("targets", ())
        ),
    )
