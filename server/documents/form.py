"""What of a source's form its translation has too: final punctuation, and capitals throughout.

Models learn from text that is rarely in capitals, and a vocabulary cuts words in capitals into letters, so a
source in capitals is read in small letters; its translation is put into capitals afterwards.

A change is made only where both texts show what is meant: a mark behind a word. Where quotation marks,
brackets or emoji end a text, languages differ in their order, and the model's is left alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import sentencex

from server.documents.protected import literal_ranges, may_have_literals, without_literals

_LEAST_CAPITALS = 6  # letters: fewer may be an abbreviation, whose translation is none
# Marks of all scripts, by what they are in the Latin one.
_ALIKE = {".": "。．｡।॥។۔။።։", "?": "？؟", "!": "！", ":": "：", ";": "；؛", ",": "，،、"}
_MARKS = str.maketrans({mark: kind for kind, marks in _ALIKE.items() for mark in marks})
_ENDING = "".join(map(chr, _MARKS)) + "".join(_ALIKE) + "…"
_CJK = {".": "。", "?": "？", "!": "！", ":": "：", ";": "；", ",": "，"}
_ARABIC = {"?": "؟", ",": "،", ";": "؛"}
_DANDA = {".": "।"}
_FORMS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("ja", "yue", "zh"), _CJK),
    **dict.fromkeys(("ar", "ckb", "fa", "ps", "sd", "ug"), _ARABIC),
    "ur": {**_ARABIC, ".": "۔"},
    **dict.fromkeys(("as", "bn", "hi", "mai", "ne", "or", "pa", "sa"), _DANDA),
    "am": {".": "።"},
    "el": {"?": ";"},
    "km": {".": "។"},
    "my": {".": "။"},
}
_WITHOUT_FULL_STOPS = {"lo", "th"}
_SPACED_IN_FRENCH = "?!:;"
_ENDS_OF_LITERALS = "}%>€$£¥°²³½"

_OPENING = "¿¡"
_ENGLISH_I = re.compile(r"\bi\b")


def in_form(source: str, target: str, pair: tuple[str, str]) -> str:
    """A translation with the final punctuation of its source, and in capitals if the source is.

    Args:
        pair: Source and target language, as BCP-47 tags.

    >>> in_form("The shop is closed today", "Il negozio è chiuso oggi.", ("en", "it"))
    'Il negozio è chiuso oggi'
    >>> in_form("PLEASE NOTE: {name}!", "Attenzione: {name}!", ("en", "it"))
    'ATTENZIONE: {name}!'
    >>> in_form("It is a book.", "这是书", ("en", "zh-Hans"))
    '这是书。'
    """
    source_language, target_language = (language.partition("-")[0].lower() for language in pair)
    if source[-1:] != target[-1:] or not (source[-2:-1].isalnum() and target[-2:-1].isalnum()):
        target = _with_ending(source, target, source_language, target_language)
    if not _is_in_capitals(source):
        return target
    return _beside_literals(target, lambda text: _upper(text, target_language))


def in_sentence_case(source: str, language: str) -> str:
    """A source in small letters behind its first letter, if all its letters are capitals; else as it is.

    Args:
        language: The source's, as a BCP-47 tag.

    >>> in_sentence_case("PLEASE NOTE: {NAME} IS CLOSED!", "en")
    'Please note: {NAME} is closed!'
    >>> in_sentence_case("WHERE AM I?", "en")
    'Where am I?'
    >>> in_sentence_case("The UN and NATO", "en")
    'The UN and NATO'
    """
    if not _is_in_capitals(source):
        return source
    primary = language.partition("-")[0].lower()
    small = _beside_literals(source, lambda text: _lower(text, primary))
    first = next(i for i, letter in enumerate(source) if letter.isalpha())
    # A small letter may be two characters, as that of İ.
    return small[:first] + source[first] + small[first + len(_lower(source[first], primary)) :]


def _with_ending(source: str, target: str, source_language: str, target_language: str) -> str:
    source_words, target_words = (text.rstrip(_ENDING + " \u00a0\u202f") for text in (source, target))
    ending = source[len(source_words) :].strip()
    wanted, present = _kinds(ending, source_language), _kinds(target[len(target_words) :], target_language)
    form = _as_written(wanted.replace("…", "...") if "..." in ending else wanted, target_language)
    if wanted == present or not (_ends_in_word(source_words) and _ends_in_word(target_words)):
        return target
    if wanted == "." and (target_language in _WITHOUT_FULL_STOPS or _is_abbreviated(source, source_language)):
        return target
    if any(mark in target for mark in _OPENING) and {"?", "!"} & set(present):
        return target  # half of a pair
    if present == "." and not wanted and _is_abbreviated(target, target_language):
        return target
    return target_words + form


def _kinds(ending: str, language: str) -> str:
    """What marks stand at an end, whatever the script; three dots are one mark."""
    if language == "el":
        ending = ending.replace(";", "?").replace("\u037e", "?")
    return "".join(ending.translate(_MARKS).split()).replace("...", "…")


def _as_written(kinds: str, language: str) -> str:
    forms = _FORMS.get(language, {})
    space = "\u202f" if language == "fr" and kinds[:1] in _SPACED_IN_FRENCH and kinds else ""
    return space + "".join(forms.get(kind, kind) for kind in kinds)


def _ends_in_word(text: str) -> bool:
    """Whether the last character is of a word, a number or a literal."""
    return bool(text) and (unicodedata.category(text[-1])[0] in "LMN" or text[-1] in _ENDS_OF_LITERALS)


def _is_abbreviated(text: str, language: str) -> bool:
    """Whether the full stop at the end belongs to the word before it: a sentence would go on behind it."""
    last_words = " ".join(text.split()[-3:])
    return len(sentencex.segment(language, f"{last_words} Anna")) == 1


def _is_in_capitals(text: str) -> bool:
    if not text.isupper():
        if text[:1].islower() or not may_have_literals(text):
            return False
        text = without_literals(text)
    letters = list(filter(str.isalpha, text))
    return len(letters) >= _LEAST_CAPITALS and all(map(str.isupper, letters))


def _beside_literals(text: str, changed: Callable[[str], str]) -> str:
    """A text changed everywhere but in what must not change."""
    pieces, place = [], 0
    for start, end in [*literal_ranges(text), (len(text), len(text))]:
        pieces += [changed(text[place:start]), text[start:end]]
        place = end
    return "".join(pieces)


def _upper(text: str, language: str) -> str:
    if language in {"az", "tr"}:
        text = text.replace("i", "İ")
    if language == "el":  # capitals have no accents
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).replace("\u0301", ""))
    return text.upper()


def _lower(text: str, language: str) -> str:
    if language in {"az", "tr"}:
        text = text.replace("I", "ı").replace("İ", "i")
    small = text.lower()
    return _ENGLISH_I.sub("I", small) if language == "en" else small
