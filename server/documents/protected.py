"""What must come out of a translation as it went in: addresses, placeholders, tags, hashtags, numbers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

_NOT_IN_URLS = r'\s<>"“”«»。．｡।॥۔։？؟！：；؛，،、'  # marks that may follow a URL without a space too
# Without the sentence's own mark.
_URL = rf"(?:(?:https?|ftp)://|\bwww\.[\w-]+\.)[^{_NOT_IN_URLS}]*[^{_NOT_IN_URLS}.,:;!?…'’)\]]"
# In this order: of a URL with a placeholder in it the URL counts.
_LITERAL = re.compile(
    _URL
    + r"""
    | (?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+                  # an e-mail address
    | \{\{[^{}\n]*\}\} | \$\{[^{}\n]*\} | \{[\w.:!,\[\]<>^=+ -]*\}  # {{x}}, ${x}, {x}, {0:>3}
    | %\(\w+\)[-+\#0]*\d*(?:\.\d+)?[a-zA-Z]                      # %(x)s
    | (?<![\d%])%(?:\d+\$)?[-+\#0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z)?[diouxXeEfgGcsp@](?!\w)  # %s, %1$d, %5.2f
    | </?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?>                         # <ph/>, <b>, </b>
    | (?<![\w&\#/])[\#@]\w*[^\W\d_]\w*                            # a hashtag, a name in a network
    """,
    re.VERBOSE,
)
_LITERAL_MARKS = ("{", "%", "<", "#", "@", "://", "www.")  # no literal is without one
_NUMBER = re.compile(r"\d+(?:[.,:'’]\d+|[ \u00a0\u2009\u202f]\d{3}(?!\d))*")
_DIGIT = re.compile(r"\d")
_MOST_SPELLED = 20
LOST_CHARACTER = "\ufffd"  # bytes that are no character


def literals(text: str) -> Counter[str]:
    """Addresses, placeholders, tags and hashtags, and how often each occurs.

    >>> literals("Hi {name}, see https://a.example/b?c=1. It is 50% of %s.")
    Counter({'{name}': 1, 'https://a.example/b?c=1': 1, '%s': 1})
    """
    return Counter(_LITERAL.findall(text)) if may_have_literals(text) else Counter()


def literal_ranges(text: str) -> list[tuple[int, int]]:
    """Where those are, in characters, in order.

    >>> literal_ranges("See https://a.example/#!Page now.")
    [(4, 28)]
    """
    return [match.span() for match in _LITERAL.finditer(text)] if may_have_literals(text) else []


def numbers(text: str) -> Counter[str]:
    """The digits of each number, whatever separates them: 1,234.5 and 1.234,5 are the same.

    >>> numbers("1,234.5 at 10:45 in {0}")
    Counter({'12345': 1, '1045': 1})
    """
    if _DIGIT.search(text) is None:
        return Counter()
    return Counter(map(_digits, _NUMBER.findall(without_literals(text))))


def lost(source: str, target: str) -> tuple[list[str], list[str]]:
    """What a translation does not have as often as its source.

    Returns:
        Literals, those included that the translation has and the source has not; and the digits of numbers,
        where the source has any: a number that was a word may become one.
    """
    source_literals, source_numbers = literals(source), numbers(source)
    if not (source_literals or source_numbers):
        return list(literals(target)), []
    return (
        list(_differing(source_literals, literals(target))),
        list(_differing(source_numbers, numbers(target))) if source_numbers else [],
    )


def damage(source: str, target: str) -> int:
    """How much of what must not change a translation has changed; to rank hypotheses by.

    A small number that is gone counts for nothing, unlike in `lost`: often it is written as a word, and that
    is no reason to take a hypothesis that the model finds worse.

    >>> damage("We have 3 boats.", "Abbiamo tre barche."), damage("We have 3 boats.", "Abbiamo 30 barche.")
    (0, 1)
    """
    changed_literals, changed_numbers = lost(source, target)
    written = numbers(target) if changed_numbers else ()
    return len(changed_literals) + sum(n in written or not _is_small(n) for n in changed_numbers)


def has_protected(text: str) -> bool:
    """Whether there is anything in it that must stay as it is."""
    return bool(_DIGIT.search(text) or literals(text))


def has_words(text: str) -> bool:
    """Whether there is a letter or a digit beside literals.

    >>> [has_words(text) for text in ("* * *", "https://a.example", "{count} cats", "7", "\U0001f60e")]
    [False, False, True, True, False]
    """
    return any(map(str.isalnum, without_literals(text)))


def has_symbols(text: str) -> bool:
    """Whether there is anything but punctuation, such as an emoji, beside literals.

    The mark of a character that was lost on the way is none: no model knows what it was.
    """
    rest = without_literals(text).replace(LOST_CHARACTER, "")
    return any(unicodedata.category(character) == "So" for character in rest)


def without_literals(text: str) -> str:
    """A text with a space in the place of each of them."""
    return _LITERAL.sub(" ", text) if may_have_literals(text) else text


def may_have_literals(text: str) -> bool:
    """Whether there is a mark without which no literal is: false spares the search for them."""
    return any([mark in text for mark in _LITERAL_MARKS])  # noqa: C419 - twice as fast as a generator


def _differing(source: Counter[str], target: Counter[str]) -> Iterator[str]:
    return (text for text in {**source, **target} if source[text] != target[text])


def _is_small(number: str) -> bool:
    return len(number) <= len(str(_MOST_SPELLED)) and int(number) <= _MOST_SPELLED


def _digits(number: str) -> str:
    """ASCII digits of a number in any script."""
    return "".join(str(unicodedata.decimal(character)) for character in number if character.isdecimal())
