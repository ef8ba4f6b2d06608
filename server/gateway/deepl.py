"""DeepL's API, version 2: texts, languages and usage.

What it has and this service has not is refused as DeepL refuses it. Source: DeepL's own description,
https://developers.deepl.com/docs/api-reference/translate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.rpc import code_pb2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.gateway.credentials import metadata_of
from server.gateway.deepl_glossaries import DeepLGlossaries
from server.gateway.errors import Refusal, RequestRefused, headers_of, http_code_of
from server.gateway.ignored_tags import ignoring
from server.gateway.languages import name_of, targets_by_source
from server.gateway.parameters import Parameters, parameters_of
from server.gateway.translating import AUTO, translate
from server.gateway.upstream import CallFailed, Upstream
from traghetto.pb.translation.v1 import translation_pb2 as pb

PREFIXES = ("/v2/", "/v3/")
_FORMATS = {
    "": pb.TEXT_FORMAT_PLAIN,
    "plain": pb.TEXT_FORMAT_PLAIN,
    "html": pb.TEXT_FORMAT_HTML,
    "xml": pb.TEXT_FORMAT_XML,
}
_SEGMENTATIONS = {
    "0": pb.SEGMENTATION_NONE,
    "1": pb.SEGMENTATION_SENTENCES,
    "true": pb.SEGMENTATION_SENTENCES,
    "false": pb.SEGMENTATION_NONE,
}
# A sentence of markup may go over several lines as it is.
_SEGMENTATIONS_OF_MARKUP = _SEGMENTATIONS | {"nonewlines": pb.SEGMENTATION_SENTENCES}
_MAX_TEXTS = 50
# Values that ask for nothing that there is not; all others of these names are refused.
_HARMLESS: Mapping[str, Sequence[str]] = {
    "formality": ("", "default", "prefer_more", "prefer_less"),
    "model_type": ("", "latency_optimized", "prefer_quality_optimized"),
    "tag_handling_version": ("", "v1", "v2"),
    "enable_beta_languages": ("", "0", "false", "1", "true"),
    "outline_detection": ("", "1", "true"),
}
_LACKING = (
    "custom_instructions",
    "glossary_ids",
    "non_splitting_tags",
    "output_format",
    "splitting_tags",
    "style_id",
    "translation_memory_id",
    "translation_memory_threshold",
)
_UNLIMITED_CHARACTERS = 1_000_000_000_000  # as DeepL tells it
_HTTP_CODES: Mapping[int, int] = {code_pb2.NOT_FOUND: 400, code_pb2.UNAUTHENTICATED: 403}


class DeepL:
    """The API's methods but those for documents and glossaries.

    Args:
        upstream: Answers them.
        glossaries: That texts may name.
    """

    def __init__(self, upstream: Upstream, glossaries: DeepLGlossaries) -> None:
        self._upstream, self._glossaries = upstream, glossaries

    def routes(self) -> list[Route]:
        """A route for each."""
        both = ["GET", "POST"]
        return [
            Route("/v2/translate", self._translate, methods=["POST"], name="deepl.translate"),
            Route("/v2/languages", self._languages, methods=both, name="deepl.languages"),
            Route("/v2/usage", _usage, methods=both, name="deepl.usage"),
        ]

    async def _translate(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        texts = parameters.texts("text")
        if len(texts) > _MAX_TEXTS:
            raise RequestRefused(400, f"has {len(texts)} texts, must be at most {_MAX_TEXTS}", field="text")
        refuse_what_is_lacking(parameters)
        text_format = parameters.choice("tag_handling", "", _FORMATS)
        is_markup = text_format != pb.TEXT_FORMAT_PLAIN
        splits = _SEGMENTATIONS_OF_MARKUP if is_markup else _SEGMENTATIONS
        parameters.flag("preserve_formatting", default=True)  # it always is
        marks = [ignoring(text, _tags(parameters) if is_markup else ()) for text in texts]
        metadata = metadata_of(request.headers, parameters.text("auth_key", ""))
        source, target = source_of(parameters), parameters.text("target_lang")
        glossary_id = parameters.text("glossary_id", "")
        terms = self._glossaries.terms(glossary_id, metadata, source, target) if glossary_id else []
        results = await translate(
            self._upstream,
            [text for text, _ in marks],
            languages=(source, target),
            text_format=text_format,
            segmentation=parameters.choice("split_sentences", "1", splits),
            terms=terms,
            metadata=metadata,
        )
        counts = (
            [len(text) for text in texts]
            if parameters.flag("show_billed_characters", default=False)
            else None
        )
        named = parameters.text("source_lang", "").upper()
        answer: list[dict[str, Any]] = []
        for number, (result, (_, restore)) in enumerate(zip(results, marks, strict=True)):
            language = named or (result.language or "").upper()
            answer.append({"detected_source_language": language, "text": restore(result.text)})
            if counts is not None:
                answer[-1]["billed_characters"] = counts[number]
        return JSONResponse({"translations": answer})

    async def _languages(self, request: Request) -> Response:
        parameters = await parameters_of(request)
        kind = parameters.choice("type", "source", {"source": "source", "target": "target"})
        metadata = metadata_of(request.headers, parameters.text("auth_key", ""))
        targets = await targets_by_source(self._upstream, metadata)
        tags = sorted(targets if kind == "source" else {tag for into in targets.values() for tag in into})
        more = {} if kind == "source" else {"supports_formality": False}
        return JSONResponse([{"language": tag.upper(), "name": name_of(tag)} | more for tag in tags])


def refused(error: Refusal) -> Response:
    """The answer to an error in this API's form."""
    if isinstance(error, CallFailed):
        http_code = _HTTP_CODES.get(error.status.code, http_code_of(error))
        return JSONResponse({"message": error.failure.message}, http_code, headers_of(error))
    return JSONResponse({"message": str(error)}, error.http_code, headers_of(error))


def source_of(parameters: Parameters) -> str:
    """The language of the texts; "auto" where none is named."""
    return parameters.text("source_lang", "") or AUTO


def refuse_what_is_lacking(parameters: Parameters) -> None:
    """Refuse what this service does not have.

    Raises:
        RequestRefused: something of it is asked for.
    """
    for name, harmless in _HARMLESS.items():
        if name in parameters and str(parameters[name]).lower() not in harmless:
            raise RequestRefused(400, f"is {parameters[name]!r}, which is not supported", field=name)
    for name in _LACKING:
        if name in parameters and parameters[name]:  # noqa: RUF019 - no dict
            raise RequestRefused(400, "is not supported", field=name)


def _tags(parameters: Parameters) -> list[str]:
    """Names of elements whose text stays; a form has them with commas between."""
    if "ignore_tags" not in parameters:
        return []
    given = parameters.texts("ignore_tags") if parameters["ignore_tags"] else []
    return [name for one in given for name in one.split(",") if name]


async def _usage(_: Request) -> Response:
    """Nothing is counted against a limit: what the server's own access control counts it does not tell."""
    return JSONResponse({"character_count": 0, "character_limit": _UNLIMITED_CHARACTERS})
