"""Texts of a foreign API through the contract: one call, and an error where any text has one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.rpc import code_pb2

from server.gateway.errors import RequestRefused
from server.gateway.upstream import Metadata, Upstream
from traghetto.errors import InvalidText
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import checked_texts

AUTO = "auto"
_USUAL_BEAM_SIZE = 4


@dataclass(frozen=True, kw_only=True)
class Translated:
    """What became of a text.

    Args:
        text: Its translation.
        alternatives: Other translations of it, the best first.
        language: That it was found to be in; None where it was named, or it has no letters.
        confidence: How sure that is, from 0 to 1.
    """

    text: str
    alternatives: tuple[str, ...] = ()
    language: str | None = None
    confidence: float = 0.0


async def translate(
    upstream: Upstream,
    texts: Sequence[str],
    *,
    languages: tuple[str, str],
    text_format: pb.TextFormat.ValueType = pb.TEXT_FORMAT_PLAIN,
    segmentation: pb.Segmentation.ValueType = pb.SEGMENTATION_UNSPECIFIED,
    num_alternatives: int = 0,
    terms: Iterable[pb.GlossaryTerm] = (),
    metadata: Metadata = (),
) -> list[Translated]:
    """Translate texts.

    Args:
        languages: Source and target as tags; the source may be "auto".
        text_format, segmentation: Of the contract.
        num_alternatives: At most so many beside each translation; a text of several sentences has none.
        terms: Of a glossary.
        metadata: Of the call.

    Raises:
        CallFailed: the call failed.
        RequestRefused: one of the texts failed, or is no Unicode.
    """
    request = pb.TranslateRequest(
        source_language=languages[0],
        target_language=languages[1],
        format=text_format,
        options=pb.TranslateOptions(segmentation=segmentation),
        glossary=terms,
    )
    try:
        request.texts.extend(checked_texts(texts))
    except InvalidText as error:
        raise RequestRefused(400, str(error)) from error
    if num_alternatives:
        request.options.num_hypotheses = num_alternatives + 1
        if num_alternatives >= _USUAL_BEAM_SIZE:
            request.options.beam_size = num_alternatives + 1
    answer = await upstream.call("Translate", request, pb.TranslateResponse, metadata)
    return list(_translated(answer))


def _translated(answer: pb.TranslateResponse) -> Iterator[Translated]:
    for number, item in enumerate(answer.items):
        if item.WhichOneof("result") != "translation":
            http_code = 400 if item.error.code == code_pb2.INVALID_ARGUMENT else 500
            raise RequestRefused(http_code, item.error.message, field=f"texts[{number}]")
        translation = item.translation
        others = dict.fromkeys(one.text for one in translation.hypotheses)
        others.pop(translation.text, None)
        yield Translated(
            text=translation.text,
            alternatives=tuple(others),
            language=translation.detected_language.language or None,
            confidence=translation.detected_language.confidence,
        )
