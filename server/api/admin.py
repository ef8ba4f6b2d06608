"""AdminService: what an operator may ask of a running server."""

from __future__ import annotations

from typing import Any

import grpc

from server.api.status import abort_with
from server.errors import shortened
from server.models.serving import Outcome, Reload, ServedModels
from traghetto.pb.admin.v1 import admin_pb2 as pb
from traghetto.pb.admin.v1 import admin_pb2_grpc as pb_grpc

_OUTCOMES = {
    Outcome.UNCHANGED: pb.RELOAD_OUTCOME_UNCHANGED,
    Outcome.LOADED: pb.RELOAD_OUTCOME_LOADED,
    Outcome.REFUSED: pb.RELOAD_OUTCOME_REFUSED,
}
Context = grpc.aio.ServicerContext[Any, Any]


class AdminService(pb_grpc.AdminServiceServicer):
    """Reloads models."""

    def __init__(self, served: ServedModels) -> None:
        self._served = served

    async def ReloadModels(  # noqa: N802
        self, request: pb.ReloadModelsRequest, context: Context
    ) -> pb.ReloadModelsResponse:
        """Read every artifact folder again and serve what is new; FAILED_PRECONDITION if any is no good."""
        del request
        response = pb.ReloadModelsResponse(
            models=[_message(reload) for reload in await self._served.reload()]
        )
        if refused := [model for model in response.models if model.outcome == pb.RELOAD_OUTCOME_REFUSED]:
            count = f"{len(refused)} of {len(response.models)} artifacts and glossaries refused"
            message = f"{count}: {refused[0].message}"
            await abort_with(context, grpc.StatusCode.FAILED_PRECONDITION, message, [response])
        return response


def _message(reload: Reload) -> pb.ModelReload:
    return pb.ModelReload(
        artifact=str(reload.artifact),
        model=reload.model,
        sha256=reload.sha256,
        outcome=_OUTCOMES[reload.outcome],
        message=shortened(reload.message),
    )
