"""A Python client: texts in, translations out, in order.

Tries again when the server sheds load, and elsewhere when one of several servers goes away.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc
from traghetto.tls import Tls, channel_credentials

MAX_ATTEMPTS = 60
# An address may stand for several servers; a call that one of them could not take goes to the next. A server
# that is stopping answers UNAVAILABLE, and gRPC itself CANCELLED to a call that comes while the port closes.
SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": pb.DESCRIPTOR.services_by_name["TranslationService"].full_name}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
    }
)


class CallError(RuntimeError):
    """A call failed as a whole.

    Args:
        code: gRPC's status code.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code


@dataclass(frozen=True)
class TextError:
    """Why one text was not translated; the others of its call were."""

    code: int
    message: str


Result = pb.Translation | TextError
Sampling = pb.Sampling
ContrastiveSearch = pb.ContrastiveSearch
AttentionOptions = pb.AttentionOptions


class Client:
    """A connection to a server, for use in a `with` block and from any thread.

    Args:
        address: HOST:PORT, or another gRPC target; calls go in turn to all servers that it names, as
            `dns:///HOST:PORT` or `ipv4:HOST:PORT,HOST:PORT` may.
        timeout_seconds: Deadline of each call.
        tls: How to reach a server with TLS; None is plain text.

    Raises:
        TlsError: the files of `tls` cannot serve.
    """

    def __init__(self, address: str, timeout_seconds: float = 60.0, tls: Tls | None = None) -> None:
        options = (("grpc.service_config", SERVICE_CONFIG),)
        if tls is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, channel_credentials(tls), options)
        self._stub = pb_grpc.TranslationServiceStub(self._channel)
        self._timeout_seconds = timeout_seconds
        self._tls = tls

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def translate(  # noqa: PLR0913 - one keyword for each option of the contract
        self,
        texts: Sequence[str],
        source_language: str,
        target_language: str,
        *,
        model: str = "",
        beam_size: int | None = None,
        length_penalty: float | None = None,
        max_target_tokens: int | None = None,
        num_hypotheses: int | None = None,
        method: Sampling | ContrastiveSearch | None = None,
        attention: AttentionOptions | None = None,
        skip_scores: bool = False,
    ) -> list[Result]:
        """Translate texts in one call; options left out take the server's defaults.

        Args:
            method: How to search; None is beam search. `Sampling()` and `ContrastiveSearch()` have defaults
                of their own, and neither goes with beam_size.
            attention: Returns each hypothesis' attention; `AttentionOptions()` is the model's default layer.
            skip_scores: Leaves each hypothesis' score and log_prob out; greedy search is faster by it.

        Returns:
            A translation or an error for each text, in order.

        Raises:
            CallError: the call failed as a whole.
            ValueError: a number does not fit in its field of the contract.
        """
        request = pb.TranslateRequest(
            source_language=source_language,
            target_language=target_language,
            texts=texts,
            model=model,
            options=pb.TranslateOptions(
                beam_size=beam_size,
                length_penalty=length_penalty,
                max_target_tokens=max_target_tokens,
                num_hypotheses=num_hypotheses,
                sampling=method if isinstance(method, Sampling) else None,
                contrastive_search=method if isinstance(method, ContrastiveSearch) else None,
                attention=attention,
                skip_scores=skip_scores,
            ),
        )
        return [result_of(item) for item in self.call(request).items]

    def models(self) -> list[pb.Model]:
        """What the server serves.

        Raises:
            CallError: the call failed.
        """
        try:
            return list(self._stub.ListModels(pb.ListModelsRequest(), timeout=self._timeout_seconds).models)
        except grpc.RpcError as error:
            raise self._call_error(error) from error

    def call(self, request: pb.TranslateRequest) -> pb.TranslateResponse:
        """Make one call as the contract has it.

        Raises:
            CallError: it failed as a whole.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return self._stub.Translate(request, timeout=self._timeout_seconds)
            except grpc.RpcError as error:
                delay = _retry_seconds(error)
                if delay is None or attempt == MAX_ATTEMPTS:
                    raise self._call_error(error) from error
                time.sleep(delay)
        raise AssertionError("unreachable")

    def _call_error(self, error: grpc.RpcError) -> CallError:
        message = error.details() or ""
        if error.code() is grpc.StatusCode.UNAVAILABLE and _status(error) is None:
            # No server answered. One with TLS closes the connection of a client without it, and says no more.
            message += f" (asked {_security(self._tls)})"
        return CallError(error.code(), message)


def _status(error: grpc.RpcError) -> status_pb2.Status | None:
    """What the server says beside the code; None if it says nothing, or there is none."""
    status: status_pb2.Status | None = rpc_status.from_call(cast("grpc.Call", error))
    return status


def _security(tls: Tls | None) -> str:
    if tls is None:
        return "without TLS"
    return "with TLS, and a certificate" if tls.certificate else "with TLS, and without a certificate"


def _retry_seconds(error: grpc.RpcError) -> float | None:
    status = _status(error)
    for detail in status.details if status else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return None


def result_of(item: pb.TranslationItem) -> Result:
    """An item's translation or error."""
    if item.HasField("translation"):
        return item.translation
    return TextError(item.error.code, item.error.message)
