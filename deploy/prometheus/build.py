"""Writes the rules as the Prometheus operator takes them: `python -m deploy.prometheus.build`."""

from __future__ import annotations

from pathlib import Path

import yaml

RULES = Path(__file__).parent / "rules"
RESOURCE = Path(__file__).parents[1] / "kubernetes/components/monitoring/prometheus-rule.yaml"
_HEAD = "# Written from deploy/prometheus/rules by `make rules`.\n"


def resource_yaml() -> str:
    """All groups of rules in one PrometheusRule."""
    files = sorted(RULES.glob("*.yml"), reverse=True)  # recording rules first: alerts read them
    groups = [g for path in files for g in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "traghetto"},
        "spec": {"groups": groups},
    }
    return _HEAD + yaml.safe_dump(resource, sort_keys=False, allow_unicode=True, width=120)


def main() -> None:
    """Write it."""
    RESOURCE.write_text(resource_yaml(), encoding="utf-8")


if __name__ == "__main__":
    main()
