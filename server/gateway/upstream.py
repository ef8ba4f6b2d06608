"""The server behind the gateway: calls of its methods, and its health; knows no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.gateway.config import GatewayConfig
from traghetto.failures import Failure, failure_of
from traghetto.stub import stub_of
from traghetto.target import channel_options
from traghetto.tls import channel_credentials

Metadata = Sequence[tuple[str, str]]
Answer = TypeVar("Answer", bound=Message)
_HEALTH_SECONDS = 2.0


class CallFailed(Exception):
    """A call that the server, or gRPC in its place, answered with an error.

    Args:
        failure: What is known of it.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code.name}: {failure.message}")
        self.failure = failure

    @property
    def status(self) -> status_pb2.Status:
        """The error as google.rpc.Status, with the server's details."""
        code: int = self.failure.code.value[0]
        return self.failure.status or status_pb2.Status(code=code, message=self.failure.message)


class Upstream:
    """A channel to the server, or in turn to all servers that an address names.

    Made and used in one running event loop. A call whose task is cancelled is cancelled at the server,
    which stops working on it after the step that it is in.

    Raises:
        TlsError: the files of TLS cannot serve.
    """

    def __init__(self, config: GatewayConfig) -> None:
        options = channel_options(config.server, max_message_mib=config.max_message_mib)
        if config.tls is None:
            self._channel = grpc.aio.insecure_channel(config.server, options)
        else:
            self._channel = grpc.aio.secure_channel(config.server, channel_credentials(config.tls), options)
        self._stub = stub_of(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._timeout_seconds = config.timeout_seconds

    async def call(self, method: str, request: Message, answer: type[Answer], metadata: Metadata) -> Answer:
        """Call a method.

        Args:
            method: The rpc's name.
            request: Its message.
            answer: The kind of its answer.
            metadata: What goes with it, such as the caller's credentials.

        Raises:
            CallFailed: there is no answer.
        """
        try:
            outcome = await getattr(self._stub, method)(
                request, timeout=self._timeout_seconds, metadata=tuple(metadata)
            )
        except grpc.aio.AioRpcError as error:
            raise CallFailed(
                failure_of(error.code(), error.details(), error.trailing_metadata() or ())
            ) from error
        if not isinstance(outcome, answer):
            raise CallFailed(outcome)
        return outcome

    async def is_serving(self) -> bool:
        """Whether the server says that it serves."""
        try:
            answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """End the channel, and calls under way with it."""
        await self._channel.close()
