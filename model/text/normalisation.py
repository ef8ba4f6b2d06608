"""How text is normalised before it is cut into pieces: a rule that lies inside the SentencePiece model.

Training and serving therefore cannot differ. The rule composes characters (NFC), writes one character
for each of the many apostrophes, hyphens and spaces, and drops what nobody sees. It merges nothing
that a reader would miss: NFKC makes 102 of 10², this rule does not.

The rule says for strings of characters what replaces them; of several that fit, the longest wins.
SentencePiece takes no rule that leaves a string as it is, so the two invisible characters that emoji
are made of, the joiner and the emoji selector, are dropped behind letters and digits instead of everywhere.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator

JOINER, EMOJI_SELECTOR = "\u200d", "\ufe0f"
_FIRST_COMPOSED, _BEHIND_COMPOSED = 0xA0, 0x30000
_HANGUL = range(0xAC00, 0xD7A4)  # 11,172 syllables, composed by arithmetic wherever they are typed
_APOSTROPHES = "‘’‛ʼʹ＇"
_LOW_QUOTES = "„‟"
_HYPHENS = "‐‑‒−"
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_CONTROLS_THAT_SEPARATE = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85"
_INVISIBLE_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
_SELECTORS = range(0xFE00, 0xFE0F)  # all variation selectors but that of emoji
_LATIN = (*range(0x20, 0x2A), *range(0x2B, 0x30), *range(0x3A, 0x7F), *range(0xA1, 0x250))
_DIGITS = "0123456789"


def normalisation_rules() -> dict[str, str]:
    r"""Every string that is replaced, and by what; nothing where it is dropped.

    Example:
        >>> rules = normalisation_rules()
        >>> rules["e\u0300"], rules["’"], rules["\u00a0"], rules["\u200b"], "²" in rules
        ('è', "'", ' ', '', False)
    """
    rules = dict(_compositions())
    rules |= dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_LOW_QUOTES, "“")
    rules |= dict.fromkeys(_HYPHENS, "-") | {"―": "—"} | _LIGATURES
    rules |= dict.fromkeys(_spaces(), " ")
    rules |= dict.fromkeys((c for c in _invisible() if c not in rules), "")
    return rules | dict(_emoji_marks_in_words(rules))


def rules_as_tsv(rules: dict[str, str]) -> str:
    r"""The rules as SentencePiece reads them: code points in hexadecimal, a tab between what and by what.

    Example:
        >>> rules_as_tsv({"ﬁ": "fi"})
        'FB01\t66 69\n'
    """
    lines = (f"{_code_points(text)}\t{_code_points(by)}\n" for text, by in sorted(rules.items()))
    return "".join(lines)


def _code_points(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)


def _compositions() -> Iterator[tuple[str, str]]:
    """Each way to write a character in parts, and the character in its composed form (NFC)."""
    for code in range(_FIRST_COMPOSED, _BEHIND_COMPOSED):
        character = chr(code)
        parts = unicodedata.normalize("NFD", character)
        if parts == character or code in _HANGUL:
            continue
        composed = unicodedata.normalize("NFC", character)
        spellings = {character, parts}
        spellings |= {unicodedata.normalize("NFC", parts[:i]) + parts[i:] for i in range(1, len(parts))}
        yield from ((spelling, composed) for spelling in spellings if spelling != composed)


def _spaces() -> Iterator[str]:
    yield from _CONTROLS_THAT_SEPARATE
    for code in range(0xA0, 0x3001):
        if unicodedata.category(chr(code)) in {"Zs", "Zl", "Zp"}:
            yield chr(code)


def _invisible() -> Iterator[str]:
    """Controls and format characters, but NUL, which no rule can name, and the two that emoji are made of."""
    kept = {"\0", JOINER}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in {"Cc", "Cf"} and character not in kept:
            yield character
    yield from map(chr, _SELECTORS)
    yield from _INVISIBLE_LETTERS


def _emoji_marks_in_words(rules: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A joiner or an emoji selector behind a letter, where no emoji has one; keycaps have a selector."""
    for character in map(chr, _LATIN):
        normalised = rules.get(character, character)
        yield character + JOINER, normalised
        yield character + EMOJI_SELECTOR, normalised
    for digit in _DIGITS:
        yield digit + JOINER, digit
