"""From a TranslateRequest to what it asks for: its model, its options, or every fault at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from model.text.language_codes import is_language_code
from server.api.constraints import prefix_faults
from server.api.options import parse_options
from server.documents.document import Segmentation
from server.documents.glossary import Glossary
from server.documents.markup.reading import Format
from server.errors import InvalidRequest, NotServed, Violation, quoted
from server.models.catalogue import AUTO, Models
from server.translation.request import TranslationRequest
from server.work.fair_order import Priority
from traghetto.pb.translation.v1 import translation_pb2 as pb

_SEGMENTATIONS: dict[int, Segmentation] = {
    pb.SEGMENTATION_UNSPECIFIED: Segmentation.SENTENCES,
    pb.SEGMENTATION_SENTENCES: Segmentation.SENTENCES,
    pb.SEGMENTATION_LINES: Segmentation.LINES,
    pb.SEGMENTATION_NONE: Segmentation.NONE,
}
_FORMATS: dict[int, Format] = {
    pb.TEXT_FORMAT_UNSPECIFIED: Format.PLAIN,
    pb.TEXT_FORMAT_PLAIN: Format.PLAIN,
    pb.TEXT_FORMAT_HTML: Format.HTML,
    pb.TEXT_FORMAT_XML: Format.XML,
    pb.TEXT_FORMAT_MARKDOWN: Format.MARKDOWN,
}
_PRIORITIES: dict[int, Priority] = {
    pb.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BULK: Priority.BULK,
}


def parse_request(
    message: pb.TranslateRequest,
    models: Models,
    *,
    max_texts: int,
    max_beam_size: int,
    deadline: float | None = None,
    client: str = "",
    glossaries: Sequence[Glossary] = (),
    glossary_faults: Sequence[Violation] = (),
) -> TranslationRequest:
    """Read a call.

    Args:
        models: Those served now.
        max_texts, max_beam_size: The server's limits.
        deadline: On the monotonic clock, in seconds; None for none.
        client: Who asks, as far as it is known.
        glossaries, glossary_faults: As `GlossaryReader` found them in the message.

    Raises:
        InvalidRequest: fields break rules; lists all of them.
        NotServed: no such model or pair, and nothing else is wrong.
    """
    faults = [*message_faults(message, max_texts), *glossary_faults]
    try:
        route = models.route(message.model, message.source_language, message.target_language)
    except NotServed as error:
        options = parse_options(message.options, None, max_beam_size)
        faults += options if isinstance(options, list) else []
        if faults:
            raise InvalidRequest(faults) from error
        raise
    request: TranslationRequest | None = None
    for (model, pair), asked in reversed(list(zip(route, _options_of(message, len(route)), strict=True))):
        options = parse_options(asked, model, max_beam_size)
        if isinstance(options, list):
            raise InvalidRequest([*faults, *options])
        if faults:
            raise InvalidRequest(faults)
        request = TranslationRequest(
            model=model,
            pair=pair,
            texts=list(message.texts) if request is not None or len(route) == 1 else (),
            options=options,
            deadline=deadline,
            client=client,
            priority=_PRIORITIES[message.priority],
            segmentation=_SEGMENTATIONS[message.options.segmentation],
            format=format_of(message),
            glossaries=glossaries if request is None else (),  # they are of the last step
            then=request,
        )
    assert request is not None, "a route has a step"
    return request


def _options_of(message: pb.TranslateRequest, num_steps: int) -> list[pb.TranslateOptions]:
    """The options of each step: what is about the answer is for the last."""
    if num_steps == 1:
        return [message.options]
    first = pb.TranslateOptions()
    first.CopyFrom(message.options)
    for name in ("max_target_tokens", "min_target_tokens", "num_hypotheses", "attention", "suppress"):
        first.ClearField(name)
    return [first, message.options]


def require_detectable(
    message: pb.TranslateRequest,
    max_texts: int,
    max_beam_size: int,
    glossary_faults: Sequence[Violation] = (),
) -> None:
    """Refuse a call whose source languages are to be found, for whatever is wrong with it without them.

    Raises:
        InvalidRequest: fields break rules; lists all of them.
    """
    options = parse_options(message.options, None, max_beam_size)
    faults = [*message_faults(message, max_texts), *glossary_faults]
    faults += options if isinstance(options, list) else []
    if faults:
        raise InvalidRequest(faults)


def message_faults(message: pb.TranslateRequest, max_texts: int) -> list[Violation]:
    """What is wrong with a call whatever its model."""
    return [
        *_language_faults(message),
        *_text_faults(message, max_texts),
        *_enum_faults(message),
        *prefix_faults(message),
    ]


def is_auto(message: pb.TranslateRequest | pb.ScoreRequest) -> bool:
    """Whether the source languages are to be found."""
    return message.source_language.lower() == AUTO


def format_of(message: pb.TranslateRequest) -> Format:
    """What the texts are written in, of a message without faults."""
    return _FORMATS[message.format]


def _language_faults(message: pb.TranslateRequest) -> list[Violation]:
    languages = (
        ("source_language", message.source_language),
        ("target_language", message.target_language),
    )
    faults = [language_fault(name, value) for name, value in languages[is_auto(message) :]]
    return [fault for fault in faults if fault is not None]


def language_fault(name: str, value: str) -> Violation | None:
    """What is wrong with the value of a field that names a language, if anything is."""
    if is_language_code(value.replace("_", "-")):
        return None
    return Violation(name, f"is {quoted(value)}, must be a BCP-47 language code")


def _enum_faults(message: pb.TranslateRequest) -> list[Violation]:
    """Values of a newer contract: what they would mean is not known here."""
    fields: tuple[tuple[str, int, Iterable[int], Iterable[str]], ...] = (
        ("priority", message.priority, _PRIORITIES, pb.Priority.keys()),
        ("format", message.format, _FORMATS, pb.TextFormat.keys()),
        ("options.segmentation", message.options.segmentation, _SEGMENTATIONS, pb.Segmentation.keys()),
    )
    return [
        Violation(name, f"is {value}, must be one of {', '.join(names)}")
        for name, value, known, names in fields
        if value not in known
    ]


def _text_faults(message: pb.TranslateRequest, max_texts: int) -> list[Violation]:
    if 1 <= len(message.texts) <= max_texts:
        return []
    return [Violation("texts", f"has {len(message.texts)} texts, must have 1 to {max_texts}")]
