"""LibreTranslate's API: its clients need only another address.

Source: the API's own description, https://docs.libretranslate.com/api/operations/translate/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from google.rpc import code_pb2
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from server.files.formats import READERS
from server.gateway.credentials import metadata_of
from server.gateway.detection import detect
from server.gateway.errors import Refusal, RequestRefused, headers_of, http_code_of
from server.gateway.file_jobs import FileJobs
from server.gateway.languages import name_of, targets_by_source
from server.gateway.parameters import Parameters, parameters_of
from server.gateway.translating import AUTO, Translated, translate
from server.gateway.upstream import CallFailed, Metadata, Upstream
from traghetto.pb.translation.v1 import translation_pb2 as pb

_FORMATS = {"text": pb.TEXT_FORMAT_PLAIN, "html": pb.TEXT_FORMAT_HTML}
_MAX_ALTERNATIVES = 15  # a server takes a beam of 16 where nothing else is configured
_UNLIMITED = -1
_TYPING_MILLISECONDS = 500
# Here an unknown language is a fault of the request, and a missing key one that is not allowed.
_HTTP_CODES: Mapping[int, int] = {code_pb2.NOT_FOUND: 400, code_pb2.UNAUTHENTICATED: 403}
PATHS = frozenset(
    ("/translate", "/detect", "/languages", "/frontend/settings", "/translate_file", "/suggest")
)
DOWNLOADS = "/download_file/"


class LibreTranslate:
    """The API's methods.

    Args:
        upstream: Answers them.
        files: Keeps files.
    """

    def __init__(self, upstream: Upstream, files: FileJobs) -> None:
        self._upstream, self._files = upstream, files

    def routes(self) -> list[Route]:
        """A route for each."""
        return [
            Route("/translate", self._translate, methods=["POST"], name="libretranslate.translate"),
            Route("/detect", self._detect, methods=["POST"], name="libretranslate.detect"),
            Route("/languages", self._languages, name="libretranslate.languages"),
            Route("/frontend/settings", self._settings, name="libretranslate.settings"),
            Route(
                "/translate_file",
                self._translate_file,
                methods=["POST"],
                name="libretranslate.translate_file",
            ),
            Route(f"{DOWNLOADS}{{job_id}}/{{name}}", self._download, name="libretranslate.download"),
            Route("/suggest", _suggest, methods=["POST"], name="libretranslate.suggest"),
        ]

    async def _translate(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        texts = parameters.texts("q")
        source, target = parameters.text("source"), parameters.text("target")
        results = await translate(
            self._upstream,
            texts,
            languages=(source, target),
            text_format=parameters.choice("format", "text", _FORMATS),
            num_alternatives=parameters.number("alternatives", 0, _MAX_ALTERNATIVES),
            metadata=_metadata(request, parameters),
        )
        answer = _as_lists(results, with_language=source == AUTO, with_others="alternatives" in parameters)
        if isinstance(parameters["q"], str):
            answer = {name: values[0] for name, values in answer.items()}
        return JSONResponse(answer)

    async def _detect(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        text = parameters.text("q")
        targets = await targets_by_source(self._upstream, _metadata(request, parameters))
        found = [(tag, share) for tag, share in await detect(text, targets) if share >= 0.005]
        return JSONResponse([{"confidence": round(100 * share, 1), "language": tag} for tag, share in found])

    async def _languages(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        targets = await targets_by_source(self._upstream, _metadata(request, parameters))
        return JSONResponse(
            [{"code": tag, "name": name_of(tag), "targets": into} for tag, into in targets.items()]
        )

    async def _settings(self, request: Request) -> Response:
        targets = await targets_by_source(self._upstream, metadata_of(request.headers))
        first = next(iter(targets.values()), [""])[0]
        return JSONResponse(
            {
                "apiKeys": True,
                "charLimit": _UNLIMITED,
                "filesTranslation": True,
                "frontendTimeout": _TYPING_MILLISECONDS,
                "keyRequired": False,
                "language": {
                    "source": {"code": AUTO, "name": "Auto Detect"},
                    "target": {"code": first, "name": name_of(first)},
                },
                "suggestions": False,
                "supportedFilesFormat": sorted(READERS),
            }
        )

    async def _translate_file(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        file = parameters.file("file")
        languages = parameters.text("source"), parameters.text("target")
        content = await file.read()
        job, task = self._files.start(file.filename or "", content, languages, _metadata(request, parameters))
        await task  # whoever leaves gives up the file too
        if job.error is not None:
            raise RequestRefused(job.http_code, job.error)
        place = f"{str(request.base_url).rstrip('/')}{DOWNLOADS}{job.id}/{job.output.name}"
        return JSONResponse({"translatedFileUrl": place})

    async def _download(self, request: Request) -> Response:
        job = self._files.of_id(request.path_params["job_id"])
        if job is None or job.ended is None or job.error is not None:
            raise RequestRefused(404, "there is no such file, or no more")
        return FileResponse(job.output, filename=job.output.name)


def refused(error: Refusal) -> Response:
    """The answer to an error in this API's form."""
    if isinstance(error, CallFailed):
        http_code = _HTTP_CODES.get(error.status.code, http_code_of(error))
        return JSONResponse({"error": error.failure.message}, http_code, headers_of(error))
    return JSONResponse({"error": str(error)}, error.http_code, headers_of(error))


def _metadata(request: Request, parameters: Parameters) -> Metadata:
    return metadata_of(request.headers, parameters.text("api_key", ""))


def _as_lists(results: Sequence[Translated], *, with_language: bool, with_others: bool) -> dict[str, Any]:
    """What stands in an answer of several texts, a list under each name."""
    answer: dict[str, Any] = {"translatedText": [result.text for result in results]}
    if with_language:
        answer["detectedLanguage"] = [
            {"confidence": round(100 * result.confidence, 1), "language": result.language or ""}
            for result in results
        ]
    if with_others:
        answer["alternatives"] = [list(result.alternatives) for result in results]
    return answer


async def _suggest(_: Request) -> Response:
    await asyncio.sleep(0)
    return JSONResponse({"error": "Suggestions are disabled on this server."}, 403)
