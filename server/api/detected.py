"""A call whose texts may be in several languages, as calls of one language each, and their answers as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.api.messages import detected_message, response_message
from server.api.status import to_status
from server.errors import InvalidRequest, RequestError, Violation
from server.translation.detection import DetectedLanguage
from server.translation.results import Translations
from traghetto.pb.translation.v1 import translation_pb2 as pb

Found = DetectedLanguage | RequestError | None


@dataclass(frozen=True, kw_only=True)
class Part:
    """The texts of one language.

    Args:
        places: Of the texts in the whole call.
        message: A call of these texts alone.
    """

    places: list[int]
    message: pb.TranslateRequest


def parts_of(message: pb.TranslateRequest, found: Sequence[Found], otherwise: str) -> list[Part]:
    """A call for each language that was found, in the order in which they come.

    Args:
        otherwise: The language of texts that have none, where no text has one.
    """
    languages = Counter(f.language for f in found if isinstance(f, DetectedLanguage))
    usual = languages.most_common(1)[0][0] if languages else otherwise
    places: dict[str, list[int]] = {}
    for i, language in enumerate(found):
        if not isinstance(language, RequestError):
            places.setdefault(usual if language is None else language.language, []).append(i)
    return [_part(message, language, those) for language, those in places.items()]


def _part(message: pb.TranslateRequest, language: str, places: list[int]) -> Part:
    part = pb.TranslateRequest()
    part.CopyFrom(message)
    del part.texts[:]
    part.texts.extend(message.texts[i] for i in places)
    part.source_language = language
    if len(message.target_prefixes) > 1:
        del part.target_prefixes[:]
        part.target_prefixes.extend(message.target_prefixes[i] for i in places)
    return Part(places=places, message=part)


def joined_response(
    found: Sequence[Found], answers: Iterable[tuple[Part, Translations]], max_bytes: int
) -> pb.TranslateResponse:
    """One answer: each translation with its language and its model.

    Raises:
        InvalidRequest: it is larger than a message may be.
    """
    items = [pb.TranslationItem(error=to_status(f) if isinstance(f, RequestError) else None) for f in found]
    parts = [(part, response_message(translations)) for part, translations in answers]
    for part, response in parts:
        for i, item in zip(part.places, response.items, strict=True):
            items[i].CopyFrom(item)
            if items[i].HasField("translation"):
                _tell(items[i].translation, found[i], response)
    response = pb.TranslateResponse(items=items)
    if len(parts) == 1:
        _copy_route(parts[0][1], response)
    if (num_bytes := response.ByteSize()) > max_bytes:
        fault = f"make an answer of {num_bytes} bytes, the limit is {max_bytes}: send fewer texts"
        raise InvalidRequest([Violation("texts", fault)])
    return response


def _tell(translation: pb.Translation, found: Found, response: pb.TranslateResponse) -> None:
    _copy_route(response, translation)
    if isinstance(found, DetectedLanguage):
        translation.detected_language.CopyFrom(detected_message(found))


def _copy_route(of: pb.TranslateResponse, to: pb.TranslateResponse | pb.Translation) -> None:
    """By which models, and between which languages."""
    to.model.CopyFrom(of.model)
    to.language_pair.CopyFrom(of.language_pair)
    to.pivot_language = of.pivot_language
    if of.HasField("first_model"):
        to.first_model.CopyFrom(of.first_model)
