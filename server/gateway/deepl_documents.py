"""DeepL's API for documents: upload, ask until it is done, download."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from server.gateway.credentials import metadata_of
from server.gateway.deepl import refuse_what_is_lacking, source_of
from server.gateway.errors import RequestRefused
from server.gateway.file_jobs import FileJob, FileJobs
from server.gateway.parameters import parameters_of


class DeepLDocuments:
    """The API's methods for documents.

    Args:
        files: Keeps them.
    """

    def __init__(self, files: FileJobs) -> None:
        self._files = files

    def routes(self) -> list[Route]:
        """A route for each."""
        return [
            Route("/v2/document", self._upload, methods=["POST"], name="deepl.document"),
            Route("/v2/document/{job_id}", self._status, methods=["POST"], name="deepl.document_status"),
            Route(
                "/v2/document/{job_id}/result", self._result, methods=["POST"], name="deepl.document_result"
            ),
        ]

    async def _upload(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        file = parameters.file("file")
        refuse_what_is_lacking(parameters)
        if parameters.text("glossary_id", ""):
            raise RequestRefused(400, "is not supported for documents", field="glossary_id")
        languages = source_of(parameters), parameters.text("target_lang")
        metadata = metadata_of(request.headers, parameters.text("auth_key", ""))
        name = parameters.text("filename", "") or file.filename or ""
        job, _ = self._files.start(name, await file.read(), languages, metadata)
        return JSONResponse({"document_id": job.id, "document_key": job.key})

    async def _status(self, request: Request) -> Response:
        job = await self._job(request)
        answer: dict[str, Any] = {"document_id": job.id}
        if job.error is not None:
            answer |= {"status": "error", "error_message": job.error}
        elif job.ended is not None:
            answer |= {"status": "done", "billed_characters": job.num_characters}
        else:
            answer |= {"status": "translating" if job.is_begun else "queued", "seconds_remaining": 1}
        return JSONResponse(answer)

    async def _result(self, request: Request) -> Response:
        job = await self._job(request)
        if job.ended is None:
            raise RequestRefused(503, "the document is not translated yet")
        if job.error is not None:
            raise RequestRefused(404, f"the document is not translated: {job.error}")
        return FileResponse(job.output, filename=job.output.name)

    async def _job(self, request: Request) -> FileJob:
        """The document that is asked for.

        Raises:
            RequestRefused: there is none, or the key is another's.
        """
        parameters = await parameters_of(request)
        job = self._files.of_id(request.path_params["job_id"])
        key = parameters.text("document_key", "")
        if job is None or not secrets.compare_digest(job.key.encode(), key.encode()):
            raise RequestRefused(404, "there is no such document, or no more")
        return job
