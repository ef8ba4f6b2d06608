"""The rules: promtool's checks and unit tests, and what must stand beside every alert."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deploy.prometheus.build import RESOURCE, resource_yaml
from server.config import ServerConfig
from tests.deploy.rule_files import PROMETHEUS, ROOT, RULE_FILES, UNIT_TESTS, alerts, load, records
from tests.programs import program, run

CATALOGUE = {
    "ErrorBudgetBurnFast": "page",
    "ErrorBudgetBurnSlow": "page",
    "LatencyBudgetBurnFast": "page",
    "Absent": "page",
    "CpuFallback": "page",
    "InferenceErrors": "page",
    "QueueSaturated": "ticket",
    "Shedding": "ticket",
    "TrafficImbalance": "ticket",
    "EventLoopLag": "ticket",
    "AbandonedCalls": "ticket",
    "CertificateExpiry": "ticket",
    "VersionSkew": "ticket",
    "AutoscalerMaxed": "ticket",
}


def expectations() -> list[tuple[str, bool]]:
    """Alert and whether it is to fire, of every unit test."""
    cases = [case for path in UNIT_TESTS for case in load(path)["tests"]]
    return [
        (check["alertname"], bool(check["exp_alerts"]))
        for case in cases
        for check in case.get("alert_rule_test", ())
    ]


def check(name: str, *arguments: str | Path) -> None:
    finished = run(program(name), *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_promtool_finds_no_fault_in_the_rules() -> None:
    check("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


def test_the_examples_are_valid() -> None:
    check("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    check("amtool", "check-config", PROMETHEUS / "alertmanager.yml")


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_must_and_only_then(path: Path) -> None:
    assert load(path)["tests"]
    check("promtool", "test", "rules", path)


def test_every_alert_is_tested_firing_and_silent() -> None:
    tested = set(expectations())
    assert tested == {(name, fires) for name in alerts() for fires in (True, False)}


def test_every_alert_has_its_severity() -> None:
    assert {name: alert["labels"]["severity"] for name, alert in alerts().items()} == CATALOGUE


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_alert_says_what_and_leads_to_its_runbook(name: str) -> None:
    annotations = alerts()[name]["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert all(annotations.values())
    runbook = ROOT / annotations["runbook_url"]
    assert runbook == PROMETHEUS / "runbooks" / f"{name}.md"
    assert runbook.read_text(encoding="utf-8").startswith(f"# {name}\n")


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in (PROMETHEUS / "runbooks").iterdir()} == set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_runbook_names_flags_that_exist_and_pages_that_exist(name: str) -> None:
    text = (PROMETHEUS / "runbooks" / f"{name}.md").read_text(encoding="utf-8")
    fields: dict[str, Any] = ServerConfig.__dataclass_fields__
    assert {
        flag for flag in re.findall(r"`--([a-z-]+)", text) if flag.replace("-", "_") not in fields
    } == set()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not (PROMETHEUS / "runbooks" / link).exists()] == []


def test_windows_differ_in_nothing_else() -> None:
    found = records()
    windows = {"failure": ("5m", "30m", "1h", "6h"), "slow": ("5m", "1h")}
    groups = {
        "failure": ("translation_calls", "translation_failures", "translation_failure_ratio"),
        "slow": ("translation_timed_calls", "translation_slow_calls", "translation_slow_ratio"),
    }
    expected = {
        f"job:{series}:rate{window}" for kind in groups for series in groups[kind] for window in windows[kind]
    }
    assert set(found) == expected
    for name, expr in found.items():
        base, window = name.split(":rate")
        of_five_minutes = re.sub(rf"\[{window}\]", "[5m]", expr).replace(f":rate{window}", ":rate5m")
        assert of_five_minutes == found[f"{base}:rate5m"], name


def test_the_operator_gets_the_same_rules() -> None:
    assert RESOURCE.read_text(encoding="utf-8") == resource_yaml(), "stale: run `make rules`"
