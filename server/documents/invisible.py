"""Characters that nobody sees: what is dropped before a model reads a text, and what may stand at its ends.

Soft hyphens, zero-width spaces, marks of direction, selectors of a glyph, NUL and other controls come along
with pasted text; a model has hardly met them, and invents words for them. The few that carry meaning stay:
what emoji are made of, and joiners in the scripts that are written with them.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import chain

_EMOJI_PARTS = "\u200d\ufe0e\ufe0f" + "".join(map(chr, range(0xE0020, 0xE0080)))  # joiner, selectors, tags
_JOINERS = "\u200c\u200d"
_SELECTORS = [*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
# White space is no invisible character, nor is a format character that has a glyph: signs over numbers.
_WHITE = "\t\n\r"
_VISIBLE_FORMAT = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
_SEPARATING = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"  # a word ends at one
_COMPLEX_SCRIPTS = ("\u0600", "\u1cff")  # from Arabic to the last of the Indic scripts
_MONGOLIAN = ("\u1800", "\u18af")
_KEYCAP = "\u20e3"


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category in {"Cc", "Cf"} and character not in _WHITE and ord(character) not in _VISIBLE_FORMAT


_HIDDEN = (
    # No character between the two ranges is one of these.
    "".join(filter(_is_hidden, map(chr, chain(range(0x20000), range(0xE0000, 0xE0080)))))
    + _FILLERS
    + "".join(map(chr, _SELECTORS))
    + "\u2028\u2029"
)
_RUN = re.compile(f"[{re.escape(_HIDDEN)}]+")
_HIDDEN_SET = frozenset(_HIDDEN)
_SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace())
_ENDS = _SPACES + _HIDDEN
_ODD_SET = frozenset(_ENDS) - {" "}


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    r"""A range without the white space and the invisible characters at its ends.

    >>> trimmed("\ufeff Yes. \n", 0, 8)
    (2, 6)
    """
    part = text[start:end]
    rest = part.lstrip(_ENDS)
    core = rest.rstrip(_ENDS)
    first, last = start + len(part) - len(rest), len(core)
    if core and (run := _RUN.match(rest, last)) and (kept := _kept(run[0], core[-1], "")):
        last += run[0].rindex(kept[-1]) + 1  # it belongs to the last character
    return first, first + last


def visible(text: str) -> str:
    r"""A text as a model shall read it: invisible characters dropped; those that separate words, a space.

    >>> visible("Good morn\u00ading,\x0bMary. \U0001f469\u200d\U0001f680")
    'Good morning, Mary. \U0001f469\u200d\U0001f680'
    """
    if _HIDDEN_SET.isdisjoint(text):  # 1 µs for a sentence, where the expression takes 100
        return text
    return _RUN.sub(
        lambda run: _replacement(
            run[0], text[max(run.start() - 1, 0) : run.start()], text[run.end() : run.end() + 1]
        ),
        text,
    )


def same_length(text: str) -> str:
    """A text with a plain space for each invisible character and each white space of any kind."""
    if _ODD_SET.isdisjoint(text):
        return text
    return "".join(" " if character in _ODD_SET else character for character in text)


def _replacement(run: str, before: str, after: str) -> str:
    """What is left of invisible characters that stand together."""
    return _kept(run, before, after) or (" " if any(c in _SEPARATING for c in run) else "")


def _kept(run: str, before: str, after: str) -> str:
    """Those of them that belong to the character before."""
    if _is_emoji(before) or after == _KEYCAP:
        return "".join(c for c in run if c in _EMOJI_PARTS)
    if _MONGOLIAN[0] <= before <= _MONGOLIAN[1]:
        return "".join(c for c in run if c in _JOINERS or "\u180b" <= c <= "\u180f")
    if _COMPLEX_SCRIPTS[0] <= before <= _COMPLEX_SCRIPTS[1]:
        return "".join(c for c in run if c in _JOINERS)
    return ""


def _is_emoji(character: str) -> bool:
    """Whether it may be part of an emoji: a symbol, or what changes the colour of one."""
    return bool(character) and (
        unicodedata.category(character) in {"So", "Sk"} or character in "\u203c\u2049\u2194\u3030"
    )
