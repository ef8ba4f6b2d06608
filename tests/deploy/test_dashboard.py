"""The dashboard's file: current, whole, and of expressions that parse and name series that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from deploy.grafana.build import DASHBOARD, ROWS, dashboard_json
from deploy.grafana.foreign import FOREIGN_SERIES, note
from deploy.grafana.variables import expand
from server.telemetry.metrics import Metrics
from tests.deploy.panel_queries import panels, queries
from tests.deploy.rule_files import PROMETHEUS, alerts, records, rules

RUNBOOKS = sorted((PROMETHEUS / "runbooks").glob("*.md"))
PROMETHEUS_OWN = {"up"}


def series_of(expr: str) -> set[str]:
    """Every series that an expression selects."""
    found: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name or "")
        elif isinstance(node, promql_parser.MatrixSelector):
            found.add(node.vector_selector.name or "")

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


def servers_own() -> set[str]:
    """Every series name that the server's registry can give."""
    return set(_names())


def _names() -> Iterator[str]:
    for family in Metrics().registry.collect():
        yield from (sample.name for sample in family.samples)
        for suffix in {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
            family.type, ("",)
        ):
            yield family.name + suffix


def test_the_file_is_what_the_program_writes() -> None:
    assert DASHBOARD.read_text(encoding="utf-8") == dashboard_json(), "python -m deploy.grafana.build"


def test_there_are_seven_rows_and_no_title_twice() -> None:
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert [panel["title"] for panel in found if panel["type"] == "row"] == list(ROWS)
    assert len(ROWS) == 7
    titles = [panel["title"] for panel in found]
    assert len(set(titles)) == len(titles)
    assert [panel["id"] for panel in found] == list(range(1, len(found) + 1))


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_series_has_a_home() -> None:
    exprs = [expand(query.expr, "1m") for query in queries()] + [rule["expr"] for rule in rules()]
    used = set().union(*map(series_of, exprs))
    known = servers_own() | set(records()) | set(FOREIGN_SERIES) | PROMETHEUS_OWN
    assert used - known == set()
    assert set(FOREIGN_SERIES) - used == set(), "no panel or alert needs these"


def test_a_panel_on_foreign_series_says_so() -> None:
    for panel in panels():
        exporters = {
            FOREIGN_SERIES[name]
            for query in panel.queries
            for name in series_of(expand(query.expr, "1m"))
            if name in FOREIGN_SERIES
        }
        for exporter in exporters:
            assert note(exporter) in panel.description, panel.title
        assert exporters or "Foreign" not in panel.description, panel.title


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_shows_a_query_that_parses_and_panels_that_exist(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    (query,) = re.findall(r"```promql\n(.*?)\n```", text, re.DOTALL)
    known = servers_own() | set(FOREIGN_SERIES) | PROMETHEUS_OWN
    assert series_of(query) - known == set()
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+|p99[^*]+)\*(?!\*)", text))
    assert named
    assert named - {panel.title for panel in panels()} == set()


def test_a_variable_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$__range"):
        expand("rate(up[$__range])", "1m")


def test_the_objective_is_the_alerts() -> None:
    assert "14.4 * 0.001" in alerts()["ErrorBudgetBurnFast"]["expr"]
    assert 'le="0.5"' in records()["job:translation_slow_calls:rate5m"]
