"""Which scripts a language is written in, and whether a translation is in another one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

# By the first word of a character's name in Unicode, and whether its words stand apart.
_HAN, _KANA = ("CJK",), ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA")
_UNSPACED = {*_KANA, "KHMER", "LAO", "MYANMAR", "THAI", "TIBETAN"}
_LANGUAGES: Mapping[tuple[str, ...], str] = {
    (
        "LATIN",
    ): "af az bs ca cs cy da de en es et eu fi fil fr ga gl hr hu id is it lb lt lv mg ms mt nb nl nn "
    "no oc pl pt ro sk sl sq sv sw tl tr vi",
    ("CYRILLIC",): "be bg kk ky mk mn ru tg uk",
    ("CYRILLIC", "LATIN"): "sr uz",
    ("ARABIC",): "ar ckb fa ps sd ug ur",
    ("DEVANAGARI",): "hi mai mr ne sa",
    ("BENGALI",): "as bn",
    _HAN: "yue zh",
    _KANA: "ja",
    ("CJK", "HANGUL"): "ko",
    **{(name,): code for name, code in (("GREEK", "el"), ("HEBREW", "he yi"), ("ARMENIAN", "hy"))},
    **{(name,): code for name, code in (("GEORGIAN", "ka"), ("THAI", "th"), ("LAO", "lo"), ("KHMER", "km"))},
    **{(name,): code for name, code in (("MYANMAR", "my"), ("TIBETAN", "bo dz"), ("ETHIOPIC", "am ti"))},
    **{(name,): code for name, code in (("TAMIL", "ta"), ("TELUGU", "te"), ("KANNADA", "kn"))},
    **{(name,): code for name, code in (("MALAYALAM", "ml"), ("GUJARATI", "gu"), ("GURMUKHI", "pa"))},
    **{(name,): code for name, code in (("SINHALA", "si"), ("ORIYA", "or"))},
}
_OF_LANGUAGE = {code: set(names) for names, codes in _LANGUAGES.items() for code in codes.split()}
_OF_TAG = {
    "latn": {"LATIN"},
    "cyrl": {"CYRILLIC"},
    "arab": {"ARABIC"},
    "deva": {"DEVANAGARI"},
    "hans": {*_HAN},
    "hant": {*_HAN},
    "hani": {*_HAN},
    "jpan": {*_KANA},
    "grek": {"GREEK"},
}
_KNOWN = set().union(*_OF_LANGUAGE.values())
# Fewer letters may be a name, or two, that stay as they are.
_LEAST_LETTERS, _LEAST_UNSPACED = 12, 4
_LAST_LATIN = "\u024f"  # no letter before it is of another script


def is_in_wrong_script(source: str, target: str, pair: tuple[str, str]) -> bool:
    """Whether most letters of a translation are of scripts that its language is not written in.

    Scripts that are foreign to the source too are quoted, and count for nothing. Of a language that is not
    known here nothing is said.

    Args:
        pair: Source and target language, as BCP-47 tags.

    >>> is_in_wrong_script("The cat is on the table.", "Кошка сидит на столе.", ("en", "it"))
    True
    >>> is_in_wrong_script("The cat is on the table.", "Кошка сидит на столе.", ("en", "ru"))
    False
    """
    expected = _scripts(pair[1])
    if expected is None or ("LATIN" in expected and max(target, default="") <= _LAST_LATIN):
        return False
    counts = Counter(script for script in map(_script, target) if script)
    foreign = {script: number for script, number in counts.items() if script not in expected}
    if not foreign:
        return False
    quoted = set(map(_script, source)) - (_scripts(pair[0]) or _KNOWN)
    num_foreign = sum(number for script, number in foreign.items() if script not in quoted)
    is_unspaced = any(script in _UNSPACED for script in foreign)
    least = _LEAST_UNSPACED if is_unspaced else _LEAST_LETTERS
    return num_foreign >= least and 2 * num_foreign > counts.total()


def _scripts(language: str) -> set[str] | None:
    primary, *rest = language.lower().replace("_", "-").split("-")
    return next((_OF_TAG[part] for part in rest if part in _OF_TAG), _OF_LANGUAGE.get(primary))


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """Of a letter the first word of its name; empty for what is in all scripts, or in none that is known."""
    name = unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""
    return name if name in _KNOWN else ""
