"""What a translation could not keep, or looks wrong in it: told to whoever asked, and counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_MAX_QUOTED = 64  # characters


class WarningReason(StrEnum):
    """What a warning is about; the value labels a metric."""

    SENTENCE_SPLIT = "sentence_split"  # longer than the model takes: translated in parts
    UNTRANSLATED = "untranslated"  # one word longer than the model takes: copied
    INVISIBLE_CHARACTERS = "invisible_characters"  # inside a segment, kept from the model
    PLACEHOLDER = "placeholder"  # lost, changed, or not as often as in the source
    NUMBER = "number"  # likewise
    REPETITION = "repetition"  # the model repeats itself
    TOO_LONG = "too_long"  # beside the source
    TOO_SHORT = "too_short"  # beside the source
    SOURCE_COPIED = "source_copied"  # nearly all words are the source's
    WRONG_SCRIPT = "wrong_script"  # most letters are none of the target language's
    NOT_COVERED = "not_covered"  # words of the source that the model hardly looked at
    MARKUP = "markup"  # tags stand where the model did not put them, or the markup is no XML
    GLOSSARY = "glossary"  # a term of a glossary is not in the translation


@dataclass(frozen=True, kw_only=True)
class TextWarning:
    """One thing about one text.

    Args:
        segment: Its place among the text's segments, from 0; None for what belongs to none.
        text: What it is about, in the source or the translation, at most 64 characters; empty for none.
    """

    reason: WarningReason
    segment: int | None = None
    text: str = ""

    def __post_init__(self) -> None:
        """Shorten the quotation: it names what was copied, and is no second copy of it."""
        object.__setattr__(self, "text", self.text[:_MAX_QUOTED])
