"""Who reaches the pods, and by which names."""

from __future__ import annotations

from tests.deploy.manifests import Document, Manifests

LABELS = {"app.kubernetes.io/name": "traghetto"}


def pod_labels(manifests: Manifests) -> dict[str, str]:
    labels: dict[str, str] = manifests.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    return labels


def port_names(manifests: Manifests) -> set[str]:
    return {port["name"] for port in manifests.server["ports"]}


def policies(manifests: Manifests) -> dict[str, Document]:
    return {policy["metadata"]["name"]: policy["spec"] for policy in manifests.all("NetworkPolicy")}


def open_ports(manifests: Manifests, direction: str) -> set[str | int]:
    rules = [rule for policy in policies(manifests).values() for rule in policy.get(direction, [])]
    assert all(rule.get("ports") for rule in rules)
    return {port["port"] for rule in rules for port in rule["ports"]}


def kinds(manifests: Manifests) -> set[str]:
    return {document["kind"] for document in manifests.documents}


def downloads(manifests: Manifests) -> bool:
    return "initContainers" in manifests.pod


def test_every_selector_finds_the_pods(manifests: Manifests) -> None:
    labels = pod_labels(manifests).items()
    assert LABELS.items() <= labels
    deployment, budget = manifests.one("Deployment")["spec"], manifests.one("PodDisruptionBudget")["spec"]
    for selector in (
        deployment["selector"]["matchLabels"],
        budget["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in manifests.all("Service")),
        *(monitor["spec"]["selector"]["matchLabels"] for monitor in manifests.all("PodMonitor")),
        *(one["labelSelector"]["matchLabels"] for one in manifests.pod["topologySpreadConstraints"]),
        *(
            p["podSelector"]["matchLabels"]
            for name, p in policies(manifests).items()
            if name != "default-deny"
        ),
    ):
        assert selector
        assert selector.items() <= labels


def test_services_lead_to_the_grpc_port_alone(manifests: Manifests) -> None:
    services = {service["metadata"]["name"]: service["spec"] for service in manifests.all("Service")}
    assert services.keys() == {"traghetto", "traghetto-headless"}
    assert services["traghetto-headless"]["clusterIP"] == "None"
    assert "clusterIP" not in services["traghetto"]
    for service in services.values():
        assert [port["targetPort"] for port in service["ports"]] == ["grpc"]
    assert "grpc" in port_names(manifests)


def test_everything_is_denied_first(manifests: Manifests) -> None:
    assert policies(manifests)["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_only_what_is_needed_comes_in(manifests: Manifests) -> None:
    scraped = {"metrics"} if "PodMonitor" in kinds(manifests) else set()
    assert open_ports(manifests, "ingress") == {"grpc"} | scraped
    for policy in policies(manifests).values():
        for rule in policy.get("ingress", []):
            for peer in rule["from"]:  # nobody is let in from a namespace that nobody named
                assert peer["namespaceSelector"]["matchLabels"]


def test_clients_need_two_labels(manifests: Manifests) -> None:
    (rule,) = policies(manifests)["traghetto-clients"]["ingress"]
    label = {"matchLabels": {"traghetto-client": "true"}}
    assert rule["from"] == [{"namespaceSelector": label, "podSelector": label}]


def test_nothing_goes_out_but_for_a_download(manifests: Manifests) -> None:
    assert open_ports(manifests, "egress") == ({53, 443} if downloads(manifests) else set())


def test_routes_and_monitors_name_ports_that_exist(manifests: Manifests) -> None:
    services = {
        service["metadata"]["name"]: {port["port"] for port in service["spec"]["ports"]}
        for service in manifests.all("Service")
    }
    for route in manifests.all("GRPCRoute"):
        for backend in (b for rule in route["spec"]["rules"] for b in rule["backendRefs"]):
            assert backend["port"] in services[backend["name"]]
    for monitor in manifests.all("PodMonitor"):
        assert {one["port"] for one in monitor["spec"]["podMetricsEndpoints"]} <= port_names(manifests)
    for policy in policies(manifests).values():
        for rule in policy.get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= port_names(manifests)


def test_a_certificate_has_every_name_of_the_services(manifests: Manifests) -> None:
    for certificate in manifests.all("Certificate"):
        names = set(certificate["spec"]["dnsNames"])
        for service in manifests.all("Service"):
            host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
            assert {host, f"{host}.cluster.local"} <= names
