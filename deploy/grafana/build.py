"""Writes the dashboard, traghetto.json: `python -m deploy.grafana.build`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from deploy.grafana.panels import PanelBuilder
from deploy.grafana.rows_calls import objective, rate_errors_duration, where_the_time_goes
from deploy.grafana.rows_fleet import fleet, gpu_and_process
from deploy.grafana.rows_work import batching, saturation
from deploy.grafana.variables import variables

DASHBOARD = Path(__file__).parent / "traghetto.json"
ROWS: dict[str, Callable[[], list[PanelBuilder]]] = {
    "Objective": objective,
    "Rate, errors, duration": rate_errors_duration,
    "Where the time goes": where_the_time_goes,
    "Batching": batching,
    "Saturation": saturation,
    "GPU and process": gpu_and_process,
    "Fleet": fleet,
}


def dashboard_json() -> str:
    """The dashboard as Grafana imports it."""
    builder = (
        Dashboard("Traghetto")
        .uid("traghetto")
        .description("A translation service: its objective, its load, its batches, its fleet.")
        .tags(["grpc", "translation"])
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(variables())
    )
    for title, panels in ROWS.items():
        builder.with_row(Row(title))
        for panel in panels():
            builder.with_panel(panel)
    dashboard = builder.build()
    for number, built in enumerate(dashboard.panels or [], start=1):  # so that a link to a panel stays good
        built.id_val = number
    return JSONEncoder(indent=2, sort_keys=True).encode(dashboard) + "\n"


def main() -> None:
    """Write it."""
    DASHBOARD.write_text(dashboard_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
