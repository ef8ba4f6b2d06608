"""Every query of every panel, asked of a Prometheus that has watched real servers under load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.grafana.variables import JOB
from tests.deploy.drawing import draw
from tests.deploy.panel_queries import PanelQuery, queries
from tests.deploy.watched import Watched, watched_servers

CLIENTS_FAULTS = {"CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND"}
OURS = {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched_servers(tmp_path_factory.mktemp("watched")) as found:
        yield found


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.panel}: {query.legend}")
def test_no_panel_is_empty(watched: Watched, query: PanelQuery) -> None:
    assert watched.ask(query.expr), query.expr


def test_every_end_of_a_call_is_on_its_panel(watched: Watched) -> None:
    assert set(watched.codes) >= {"OK"} | CLIENTS_FAULTS | OURS
    (query,) = (query for query in queries() if query.panel == "Calls by code")
    assert {labels["grpc_code"] for labels, _ in watched.ask(query.expr)} >= set(watched.codes)


def test_the_failures_recorded_are_those_that_count(watched: Watched) -> None:
    """The rules' ratio becomes what a sum by code gives, now that no call comes any more."""
    selector = f'job="{JOB}",grpc_method="Translate"'
    ours = selector + ',grpc_code=~"DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"'
    failed, handled = (f"sum(rate(grpc_server_handled_total{{{one}}}[5m]))" for one in (ours, selector))
    by_hand = f"({failed} / {handled})"
    recorded = f'sum(job:translation_failure_ratio:rate5m{{job="{JOB}"}})'
    watched.prometheus.wait_until(f"abs({recorded} - {by_hand}) < 0.02 * {by_hand}")
    ratio = watched.prometheus.value(recorded)
    assert ratio is not None
    assert 0.05 < ratio < 0.95


def test_the_preview_draws_every_panel(watched: Watched, tmp_path: Path) -> None:
    assert draw(watched, tmp_path / "preview.png") == []
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")
