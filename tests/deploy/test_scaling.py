"""How many pods there are, and what may take one away."""

from __future__ import annotations

import re

from prometheus_client.metrics_core import Metric

from server.telemetry.metrics import Metrics
from tests.deploy.manifests import Document, Manifests


def metric_names() -> set[str]:
    def of(metric: Metric) -> str:
        return f"{metric.name}_total" if metric.type == "counter" else str(metric.name)

    return {of(metric) for metric in Metrics().registry.collect()}


def bounds(manifests: Manifests) -> tuple[int, int]:
    """Fewest and most pods."""
    for scaler in manifests.all("ScaledObject"):
        return scaler["spec"]["minReplicaCount"], scaler["spec"]["maxReplicaCount"]
    for scaler in manifests.all("HorizontalPodAutoscaler"):
        return scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
    replicas = manifests.one("Deployment")["spec"]["replicas"]
    return replicas, replicas


def scalers(manifests: Manifests) -> list[Document]:
    return [*manifests.all("ScaledObject"), *manifests.all("HorizontalPodAutoscaler")]


def pods(value: int | str, of: int) -> int:
    """How many "10%" of some pods are: of a budget and of a surge Kubernetes rounds up."""
    return -(-int(value[:-1]) * of // 100) if isinstance(value, str) else value


def test_an_eviction_leaves_a_pod_and_is_possible(manifests: Manifests) -> None:
    budget = manifests.one("PodDisruptionBudget")["spec"]
    fewest, most = bounds(manifests)
    assert 1 <= pods(budget["maxUnavailable"], fewest) < fewest <= most
    assert "minAvailable" not in budget


def test_a_rollout_leaves_a_pod(manifests: Manifests) -> None:
    rolling = manifests.one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    fewest, _ = bounds(manifests)
    assert rolling["maxUnavailable"] < fewest
    assert rolling["maxUnavailable"] + pods(rolling["maxSurge"], fewest) == 1


def test_the_number_of_pods_has_one_owner(manifests: Manifests) -> None:
    owners = len(scalers(manifests))
    assert owners <= 1
    assert ("replicas" in manifests.one("Deployment")["spec"]) is (owners == 0)
    for scaler in scalers(manifests):
        assert scaler["spec"]["scaleTargetRef"]["name"] == manifests.one("Deployment")["metadata"]["name"]


def test_keda_asks_for_a_metric_that_the_server_has(manifests: Manifests) -> None:
    for scaler in manifests.all("ScaledObject"):
        (trigger,) = scaler["spec"]["triggers"]
        query = trigger["metadata"]["query"]
        found = re.fullmatch(r'sum\((?P<name>\w+)\{namespace="(?P<namespace>[\w-]+)"\}\)', query)
        assert found, query
        assert found["name"] in metric_names()
        assert found["namespace"] == manifests.one("Namespace")["metadata"]["name"]
        assert manifests.all("PodMonitor")  # or Prometheus would have no such metric
        fewest, most = bounds(manifests)
        assert fewest <= scaler["spec"]["fallback"]["replicas"] <= most


def test_the_plain_autoscaler_looks_at_the_server(manifests: Manifests) -> None:
    for scaler in manifests.all("HorizontalPodAutoscaler"):
        (metric,) = scaler["spec"]["metrics"]
        assert metric["containerResource"]["container"] == manifests.server["name"]
        assert metric["containerResource"]["name"] in manifests.server["resources"]["requests"]


def test_pods_are_spread_over_zones_and_nodes(manifests: Manifests) -> None:
    keys = [constraint["topologyKey"] for constraint in manifests.pod["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
