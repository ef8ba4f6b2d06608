"""The command traghetto-reload: tells a running server to read its artifacts again."""

from __future__ import annotations

import argparse
import sys

import grpc

from traghetto.pb.admin.v1 import admin_pb2 as pb
from traghetto.pb.admin.v1 import admin_pb2_grpc as pb_grpc
from traghetto.target import channel_options, proxy_of


def main() -> int:
    """Run the command; exit status 1 if an artifact was refused, 2 if the server cannot be asked."""
    parser = argparse.ArgumentParser(prog="traghetto-reload", description=__doc__)
    parser.add_argument(
        "--server", default="127.0.0.1:50053", help="its --admin-listen (default: %(default)s)"
    )
    parser.add_argument("--timeout-seconds", type=float, default=600.0, help="default: %(default)s")
    arguments = parser.parse_args()
    with grpc.insecure_channel(arguments.server, channel_options(arguments.server)) as channel:
        stub = pb_grpc.AdminServiceStub(channel)
        try:
            answer = stub.ReloadModels(pb.ReloadModelsRequest(), timeout=arguments.timeout_seconds)
        except grpc.RpcError as error:
            proxy = proxy_of(arguments.server)
            through = f" (asked through the proxy of {proxy})" if proxy else ""
            print(f"traghetto-reload: {error.code().name}: {error.details()}{through}", file=sys.stderr)
            return 2
    for found in answer.models:
        outcome = pb.ReloadOutcome.Name(found.outcome).removeprefix("RELOAD_OUTCOME_").lower()
        print(f"{found.artifact}: {outcome}, model {found.model}, sha256 {found.sha256}", found.message)
    return int(any(found.outcome == pb.RELOAD_OUTCOME_REFUSED for found in answer.models))


if __name__ == "__main__":
    sys.exit(main())
