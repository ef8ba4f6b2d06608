"""The variables in the dashboard's queries, and what stands for them where there is no Grafana."""

from __future__ import annotations

import re

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import VariableModel, VariableRefresh

from deploy.grafana.panels import DATASOURCE

JOB = "traghetto"


def variables() -> list[Builder[VariableModel]]:
    """What a reader of the dashboard chooses above it."""
    return [
        DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        QueryVariable("job")
        .label("Job")
        .datasource(DATASOURCE)
        .query("label_values(translator_build_info, job)")
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD),
    ]


def expand(expr: str, rate_interval: str) -> str:
    """An expression as Grafana would send it, `$__rate_interval` being what is given.

    Raises:
        ValueError: a variable that is not known here.
    """
    known = {"$__rate_interval": rate_interval, "$job": JOB}
    for name, value in known.items():
        expr = expr.replace(name, value)
    if left := re.search(r"\$\w+", expr):
        raise ValueError(f"nothing is known of the variable {left.group()} in {expr!r}")
    return expr
