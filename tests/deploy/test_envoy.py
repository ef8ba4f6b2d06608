"""deploy/envoy names what the contract has; Envoy itself is not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import google.rpc.status_pb2
import yaml
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from server.gateway.rules import rules_of_contract

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "deploy/envoy/envoy.yaml").read_text())
MANAGER = CONFIG["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
HTTP: Any = annotations_pb2.http


def test_the_descriptor_carries_the_routes_of_the_service_that_is_transcoded(tmp_path: Path) -> None:
    written = tmp_path / "translation.binpb"
    google_protos = Path(google.rpc.status_pb2.__file__).parents[2]
    sources = ["-Iproto", f"-I{google_protos}", "proto/translation/v1/translation.proto"]
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "--include_imports",
        f"--descriptor_set_out={written}",
    ]
    subprocess.run([*command, *sources], cwd=ROOT, check=True)
    files = {file.name: file for file in FileDescriptorSet.FromString(written.read_bytes()).file}
    (service,) = files["translation/v1/translation.proto"].service
    (transcoded,) = MANAGER["http_filters"][0]["typed_config"]["services"]
    assert transcoded == f"translation.v1.{service.name}"
    rules = [method.options.Extensions[HTTP] for method in service.method]
    paths = {rule.get or rule.post for rule in rules} - {""}
    assert paths == {rule.path for rule in rules_of_contract()}


def test_calls_of_the_service_go_to_the_server_and_the_router_comes_last() -> None:
    (route,) = MANAGER["route_config"]["virtual_hosts"][0]["routes"]
    (cluster,) = CONFIG["static_resources"]["clusters"]
    assert route["match"]["prefix"] == "/translation.v1.TranslationService/"
    assert route["route"]["cluster"] == cluster["name"] == cluster["load_assignment"]["cluster_name"]
    assert MANAGER["http_filters"][-1]["name"] == "envoy.filters.http.router"
