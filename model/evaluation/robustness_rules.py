"""What a translation must fulfil, judged without a reference. Knows nothing of PyTorch, nor of any file."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sacrebleu.metrics import CHRF

SHORTEST_RATIO, LONGEST_RATIO = 0.4, 2.5
LEAST_LIKENESS = 60.0

# A number with its separators: 1,234.5 and 1.234,5, 10:45 and 10.45, 1'000; 300 000 with any space.
_NUMBER = re.compile(r"\d+(?:[.,:'\u2019]\d+|[ \u00a0\u2009\u202f]\d{3}(?!\d))*")
_TAG = re.compile(r"<(/?)([A-Za-z][\w.-]*)[^<>]*?(/?)>")
_SENTENCE_END = re.compile(r"[.!?…]+[\"”»')\]]*(?=\s|$)")
_LAST_MARKS = re.compile(r"[^\w]*$")
# Each mark and what closes it. Inverted and Scandinavian pairs count too: »so«, ”so”, „so“.
_CLOSING_QUOTES = {'"': '"', "“": "”", "”": "”“", "„": "“”", "«": "»", "»": "«»"}
_REPEATED_TOKEN = re.compile(r"(?<!\w)([^\W\d_]{3,})(?:\W+\1(?!\w)){2}")
_REPEATED_LETTERS = re.compile(r"([^\W\d_]{2,4})\1\1|([^\W\d_])\2{3}")
_UNITS = {
    "euro": re.compile(r"€|\b(?:euros?|eur)\b"),
    "dollar": re.compile(r"\$|\b(?:dollars?|dollar[oi]|usd)\b"),
    "pound": re.compile(r"£|\b(?:pounds?|sterlin[ae]|gbp)\b"),
    "yen": re.compile(r"¥|\b(?:yen|jpy)\b"),
    "franc": re.compile(r"\b(?:chf|francs?|franc(?:o|hi))\b"),
    "percent": re.compile(r"%|\bper ?cento?\b"),
    "degree": re.compile(r"[°º]|\b(?:degrees?|grad[oi])\b"),
}
# A word that is no part of an address, a path, a placeholder or a tag's name.
_WORD = re.compile(r"(?<![\w.@/{$%<#-])[^\W\d_]+(?![\w@/}-]|\.\w)")
# Frequent words that the other language has not, or hardly.
_FUNCTION_WORDS = {
    "en": re.compile(
        r"the|and|of|is|are|was|were|you|your|he|she|they|we|my|our|his|this|that|these|those|with|for|from"
        r"|have|has|had|will|would|can|be|been|it|its|to|at|by|on|not|but|as|an|if|when|what|please|about"
        r"|after|any|there|their|them|than|then|before|which|who|how|only|into|until|while|under"
    ),
    "it": re.compile(
        r"il|lo|la|gli|le|l|un|una|uno|di|del|dell|della|dello|dei|degli|delle|al|allo|alla|ai|agli|alle|da"
        r"|dal|dall|dalla|dai|dalle|nel|nell|nella|nei|nelle|sul|sull|sulla|su|con|per|tra|fra|che|chi|non|è"
        r"|sono|ho|hai|ha|abbiamo|hanno|era|si|ci|mi|ti|vi|mio|mia|tuo|tua|suo|sua|nostro|nostra|questo"
        r"|questa|questi|queste|quello|quella|dove|quando|perché|più|anche|se|ed|e"
    ),
}
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_PLAIN_FORMS = str.maketrans(
    dict.fromkeys("‘’`´′", "'")  # noqa: RUF001 - the marks that look alike are the matter here
    | dict.fromkeys("“”„«»″", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")  # noqa: RUF001 - likewise
    | dict.fromkeys(_INVISIBLE)
)
_FINAL_PUNCTUATION = ".,:;!?"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One translation, and what a rule may look at beside it.

    Args:
        text: What follows the rule's name: `{name}` of `has {name}`.
        like_translation: Of the rule `like`: the translation of its text.
    """

    source_language: str
    target_language: str
    source: str
    translation: str
    text: str = ""
    like_translation: str = ""


@dataclass(frozen=True)
class Definition:
    """How a rule is judged, and whether a text follows its name."""

    holds: Callable[[Attempt], bool]
    takes_text: bool = False


def fold(text: str) -> str:
    """Text without what is typography alone: case, kind of quotes, dashes and spaces, invisible characters.

    Ligatures, full-width letters and separate accents become usual letters (Unicode's NFKC), and final
    punctuation goes: `“Too  LATE…”` becomes `"too late`.
    """
    # First the marks: NFKC would make a space of an acute accent that stands alone.
    normalized = unicodedata.normalize("NFKC", text.translate(_PLAIN_FORMS)).translate(_PLAIN_FORMS)
    folded = unicodedata.normalize("NFKC", normalized.casefold())
    return " ".join(folded.split()).rstrip(_FINAL_PUNCTUATION + "\"' ")


def _has(attempt: Attempt) -> bool:
    wanted = _num_whole(attempt.text, attempt.source)
    return 0 < wanted == _num_whole(attempt.text, attempt.translation)


def _num_whole(literal: str, text: str) -> int:
    """How often it occurs, not as part of a longer word: `mm` does not occur in "programma"."""
    before = r"(?<!\w)" if literal[0].isalnum() else ""
    after = r"(?!\w)" if literal[-1].isalnum() else ""
    return len(re.findall(before + re.escape(literal) + after, text))


def _starts(attempt: Attempt) -> bool:
    return attempt.source.startswith(attempt.text) and attempt.translation.startswith(attempt.text)


def _digits(attempt: Attempt) -> bool:
    return _numbers(attempt.translation) == _numbers(attempt.source)


def _numbers(text: str) -> Counter[str]:
    return Counter(re.sub(r"\D", "", number) for number in _NUMBER.findall(text))


def _units(attempt: Attempt) -> bool:
    return _unit_counts(attempt.translation) == _unit_counts(attempt.source)


def _unit_counts(text: str) -> dict[str, int]:
    return {unit: len(spellings.findall(text.casefold())) for unit, spellings in _UNITS.items()}


def _tags(attempt: Attempt) -> bool:
    def written(text: str) -> Counter[str]:
        return Counter(tag[0] for tag in _TAG.finditer(text))

    return written(attempt.translation) == written(attempt.source) and _is_nested(attempt.translation)


def _is_nested(text: str) -> bool:
    """Whether each tag that opens is closed, the last first; `<br/>` does both."""
    is_open: list[str] = []
    for closing, name, alone in _TAG.findall(text):
        if closing and (not is_open or is_open.pop() != name):
            return False
        if not closing and not alone:
            is_open.append(name)
    return not is_open


def _upper(attempt: Attempt) -> bool:
    return attempt.translation.isupper()


def _lower_start(attempt: Attempt) -> bool:
    first = next(filter(str.isalpha, attempt.translation), "")
    return first.islower()


def _ends_like_source(attempt: Attempt) -> bool:
    return _ending(attempt.translation) == _ending(attempt.source)


def _ending(text: str) -> str:
    """Final punctuation alone; quotes, brackets and emoji around it stand in another order elsewhere."""
    found = _LAST_MARKS.search(text)
    marks = found[0].replace("…", "...") if found else ""
    return "".join(mark for mark in marks if mark in _FINAL_PUNCTUATION)


def _sentences(attempt: Attempt) -> bool:
    found, wanted = (len(_SENTENCE_END.findall(text)) for text in (attempt.translation, attempt.source))
    return found >= wanted


def _quotes(attempt: Attempt) -> bool:
    pairs = _num_quote_pairs(attempt.translation)
    return pairs is not None and pairs == _num_quote_pairs(attempt.source)


def _num_quote_pairs(text: str) -> int | None:
    """How many pairs of quotation marks, or None where one stands alone."""
    is_open: list[str] = []
    num_pairs = 0
    for mark in filter(_CLOSING_QUOTES.__contains__, text):
        if is_open and mark in _CLOSING_QUOTES[is_open[-1]]:
            is_open.pop()
            num_pairs += 1
        else:
            is_open.append(mark)
    return None if is_open else num_pairs


def _plain(attempt: Attempt) -> bool:
    ratio = len(attempt.translation) / len(attempt.source)
    folded = attempt.translation.casefold()
    is_loop = _REPEATED_TOKEN.search(folded) or _REPEATED_LETTERS.search(folded)
    return SHORTEST_RATIO <= ratio <= LONGEST_RATIO and not is_loop


def _language(attempt: Attempt) -> bool:
    words = _WORD.findall(fold(attempt.translation))
    source, target = (
        sum(bool(_FUNCTION_WORDS[language].fullmatch(word)) for word in words)
        for language in (attempt.source_language, attempt.target_language)
    )
    return target >= source


def _like(attempt: Attempt) -> bool:
    first, second = fold(attempt.translation), fold(attempt.like_translation)
    return bool(CHRF().sentence_score(first, [second]).score >= LEAST_LIKENESS)


RULES: Mapping[str, Definition] = {
    # The text occurs as often as in the source, letter by letter.
    "has": Definition(_has, takes_text=True),
    # It begins with the text, as the source does.
    "starts": Definition(_starts, takes_text=True),
    # The same numbers, in any order and with any separators.
    "digits": Definition(_digits),
    # The same currencies, per cents and degrees, as sign, code or word.
    "units": Definition(_units),
    # The same tags, well nested.
    "tags": Definition(_tags),
    # No small letter.
    "upper": Definition(_upper),
    # Its first letter is small.
    "lower_start": Definition(_lower_start),
    # The same final punctuation, or equally none.
    "ends_like_source": Definition(_ends_like_source),
    # No fewer sentences than in the source.
    "sentences": Definition(_sentences),
    # As many pairs of quotation marks as in the source, and none that stands alone.
    "quotes": Definition(_quotes),
    # No garbage: neither far too short nor too long, no word or syllable three times in a row.
    "plain": Definition(_plain),
    # No more frequent words of the source's language than of the target's.
    "language": Definition(_language),
    # The text, a plain form of the source, is translated likewise.
    "like": Definition(_like, takes_text=True),
}
LANGUAGES = frozenset(_FUNCTION_WORDS)
