"""What no schema can say of the pods: that probes, times and settings fit each other and the server."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from server.addresses import is_loopback, split_address
from server.command_line import parse_config
from server.config import ServerConfig
from tests.certificates import Authority
from tests.deploy.manifests import Document, Manifests
from traghetto.pb.translation.v1 import translation_pb2 as pb

KNOWN = {f"TRAGHETTO_{field.name.upper()}" for field in fields(ServerConfig)}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
SERVICES = {"", pb.DESCRIPTOR.services_by_name["TranslationService"].full_name}


def config_of(manifests: Manifests) -> ServerConfig:
    """What the server makes of its variables; where they name files of TLS, of other ones than a pod's."""
    settings = dict(manifests.settings)
    with TemporaryDirectory() as folder:
        if "TRAGHETTO_TLS_CERTIFICATE" in settings:
            settings |= _tls_files(Path(folder))
        return parse_config([], settings)


def _tls_files(folder: Path) -> dict[str, str]:
    authority = Authority()
    certificate, key = authority.issue().write(folder)
    (folder / "ca.crt").write_bytes(authority.certificate)
    return {
        "TRAGHETTO_TLS_CERTIFICATE": str(certificate),
        "TRAGHETTO_TLS_KEY": str(key),
        "TRAGHETTO_TLS_CLIENT_CA": str(folder / "ca.crt"),
    }


def ports_of(manifests: Manifests) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in manifests.server["ports"]}


def test_the_server_knows_each_of_its_variables(manifests: Manifests) -> None:
    ours = {name for name in manifests.settings if name.startswith("TRAGHETTO_")}
    assert set() == ours - KNOWN
    assert "args" not in manifests.server


def test_the_server_listens_where_the_ports_say(manifests: Manifests) -> None:
    config = config_of(manifests)
    addresses = {"grpc": config.listen, "health": config.health_listen, "metrics": config.metrics_listen}
    listening = {name: split_address(address) for name, address in addresses.items() if address is not None}
    assert {name: port for name, (_, port) in listening.items()} == ports_of(manifests)
    assert not any(is_loopback(host) for host, _ in listening.values())


def test_probes_ask_the_health_port_for_a_service_that_it_knows(manifests: Manifests) -> None:
    for name in PROBES:
        probe = manifests.server[name]["grpc"]
        assert probe["port"] == ports_of(manifests)["health"]
        assert probe.get("service", "") in SERVICES


def test_a_pod_leaves_the_service_long_before_it_is_restarted(manifests: Manifests) -> None:
    def seconds(name: str) -> int:
        probe = manifests.server[name]
        return int(probe["periodSeconds"]) * int(probe["failureThreshold"])

    assert seconds("readinessProbe") * 3 <= seconds("livenessProbe")
    assert seconds("startupProbe") >= 300


def test_there_is_time_to_drain(manifests: Manifests) -> None:
    sleep = manifests.server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert manifests.pod["terminationGracePeriodSeconds"] >= sleep + config_of(manifests).drain_seconds + 10
    readiness = manifests.server["readinessProbe"]
    assert sleep >= readiness["periodSeconds"]


def test_pods_are_restricted(manifests: Manifests) -> None:
    pod, namespace = manifests.pod, manifests.one("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # TRAGHETTO_PORT and the like
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    writable = "CKV_K8S_22" in str(manifests.one("Deployment")["metadata"]["annotations"])
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is not writable
    assert pod.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC"})
    allowed = {"configMap", "emptyDir", "image", "secret"}
    assert {key for volume in pod["volumes"] for key in volume if key != "name"} <= allowed


def test_only_the_writable_root_component_makes_roots_writable(manifests: Manifests) -> None:
    annotations = manifests.one("Deployment")["metadata"]["annotations"].values()
    explained = any("CKV_K8S_22" in text for text in annotations)
    assert explained is not manifests.server["securityContext"]["readOnlyRootFilesystem"]


def test_memory_is_not_overcommitted_and_processors_are_limited(manifests: Manifests) -> None:
    resources = manifests.server["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" in resources["limits"]  # the server counts its threads by it


def test_a_gpu_is_asked_for_exactly_where_the_server_wants_one(manifests: Manifests) -> None:
    wants = config_of(manifests).device == "cuda"
    assert wants is ("nvidia.com/gpu" in manifests.server["resources"]["limits"])
    assert wants is any(entry["key"] == "nvidia.com/gpu" for entry in manifests.pod.get("tolerations", []))
    if wants:  # a rollout must not wait for a GPU that nobody has
        assert manifests.one("Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def mounts_of(container: Document) -> dict[str, Document]:
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


def test_artifacts_and_certificates_lie_below_mounts(manifests: Manifests) -> None:
    mounts = mounts_of(manifests.server)
    volumes = {volume["name"]: volume for volume in manifests.pod["volumes"]}
    assert {mount["name"] for mount in mounts.values()} <= volumes.keys()
    assert not any("subPath" in mount for mount in mounts.values())
    for artifact in config_of(manifests).artifacts:
        assert PurePosixPath(artifact).parent == PurePosixPath("/models")
    if "/models" in mounts:  # else they are in the server's image
        assert mounts["/models"]["readOnly"] is True
    files = [value for name, value in manifests.settings.items() if name.startswith("TRAGHETTO_TLS_")]
    assert {PurePosixPath(file).parent for file in files} <= {PurePosixPath("/tls")}
    assert ("/tls" in mounts) is bool(files)
    rules = manifests.settings.get("TRAGHETTO_ACCESS")
    assert ("/access" in mounts) is (rules is not None)
    assert rules is None or PurePosixPath(rules).parent == PurePosixPath("/access")
    assert manifests.settings["TRAGHETTO_ALLOW_ANONYMOUS"] == ("true" if rules is None else "false")


def test_tls_replaces_plaintext(manifests: Manifests) -> None:
    tls = "TRAGHETTO_TLS_CERTIFICATE" in manifests.settings
    assert manifests.settings["TRAGHETTO_ALLOW_PLAINTEXT"] == ("false" if tls else "true")
    protocols = {
        port["appProtocol"] for service in manifests.all("Service") for port in service["spec"]["ports"]
    }
    assert protocols == {"https" if tls else "kubernetes.io/h2c"}
    for certificate in manifests.all("Certificate"):
        secrets = [
            volume["secret"]["secretName"] for volume in manifests.pod["volumes"] if "secret" in volume
        ]
        assert certificate["spec"]["secretName"] in secrets
