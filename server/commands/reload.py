"""The command traghetto-reload: tells a running server to read its artifacts again."""

from __future__ import annotations

import argparse
import sys
from typing import cast

import grpc
from grpc_status import rpc_status

from server.commands.token_file import add_token_arguments, make_token
from traghetto import TokenError
from traghetto.pb.admin.v1 import admin_pb2 as pb
from traghetto.pb.admin.v1 import admin_pb2_grpc as pb_grpc
from traghetto.target import channel_options, proxy_of
from traghetto.token import TokenSource, require_private


def main() -> int:
    """Run the command; exit status 1 if an artifact was refused, 2 if the server cannot be asked."""
    parser = argparse.ArgumentParser(prog="traghetto-reload", description=__doc__)
    parser.add_argument(
        "--server", default="127.0.0.1:50053", help="its --admin-listen (default: %(default)s)"
    )
    parser.add_argument("--timeout-seconds", type=float, default=600.0, help="default: %(default)s")
    add_token_arguments(parser)
    arguments = parser.parse_args()
    try:
        metadata = _metadata(arguments)
    except TokenError as error:
        print(f"traghetto-reload: {error}", file=sys.stderr)
        return 2
    with grpc.insecure_channel(arguments.server, channel_options(arguments.server)) as channel:
        stub = pb_grpc.AdminServiceStub(channel)
        try:
            answer = stub.ReloadModels(
                pb.ReloadModelsRequest(), timeout=arguments.timeout_seconds, metadata=metadata
            )
        except grpc.RpcError as error:
            if (response := _outcomes(error)).models:
                return _tell(response)
            proxy = proxy_of(arguments.server)
            through = f" (asked through the proxy of {proxy})" if proxy else ""
            print(f"traghetto-reload: {error.code().name}: {error.details()}{through}", file=sys.stderr)
            return 2
    return _tell(answer)


def _metadata(arguments: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """What the call says of who makes it.

    Raises:
        TokenError: there is no token where one should be, or others could read it.
    """
    token = make_token(arguments)
    is_allowed = arguments.allow_plaintext_token
    require_private(arguments.server, token, has_tls=False, is_allowed=is_allowed)
    return TokenSource(token).metadata()


def _outcomes(error: grpc.RpcError) -> pb.ReloadModelsResponse:
    """What became of each artifact, from the status of a call of which some were refused."""
    response, status = pb.ReloadModelsResponse(), rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status else ():
        detail.Unpack(response)
    return response


def _tell(response: pb.ReloadModelsResponse) -> int:
    """Print what became of each artifact; 1 if one was refused."""
    for model in response.models:
        outcome = pb.ReloadOutcome.Name(model.outcome).removeprefix("RELOAD_OUTCOME_").lower()
        print(f"{model.artifact}: {outcome}, model {model.model}, sha256 {model.sha256}", model.message)
    return int(any(model.outcome == pb.RELOAD_OUTCOME_REFUSED for model in response.models))


if __name__ == "__main__":
    sys.exit(main())
