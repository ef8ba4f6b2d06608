"""Rules that a pair must keep to be learned from; each is counted for each file.

They are hard rules, which need no model: what they refuse is wrong whatever it means. The kinds are those
of OpusFilter (Aulamo et al. 2020) and of the hard rules of Bicleaner (Ramírez-Sánchez et al. 2020).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-zA-Z]{2,8}|#\d{1,6});")
_FEW_CHARACTERS = 20  # of shorter texts a ratio says nothing
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Limits of the rules.

    Args:
        max_characters: Longest text.
        max_ratio: Most characters of one side for each of the other, where a side has more than 20.
        min_letters: Least share of a text's characters, spaces aside, that are letters.
        same_digits: Whether both sides must have the same digits, in any order.
        markup: Whether a side may hold tags or entities.
    """

    max_characters: int = 1000
    max_ratio: float = 2.5
    min_letters: float = 0.25
    same_digits: bool = True
    markup: bool = False


Rule = Callable[[str, str, FilterConfig], bool]


def _has_empty_side(first: str, second: str, config: FilterConfig) -> bool:
    del config
    return not first.strip() or not second.strip()


def _is_too_long(first: str, second: str, config: FilterConfig) -> bool:
    return max(len(first), len(second)) > config.max_characters


def _has_wrong_ratio(first: str, second: str, config: FilterConfig) -> bool:
    shorter, longer = sorted((len(first), len(second)))
    return longer > _FEW_CHARACTERS and longer > config.max_ratio * shorter


def _has_few_letters(first: str, second: str, config: FilterConfig) -> bool:
    return min(_share_of_letters(first), _share_of_letters(second)) < config.min_letters


def _share_of_letters(text: str) -> float:
    characters = len(text) - text.count(" ")
    return len(_LETTER.findall(text)) / max(1, characters)


def _has_other_digits(first: str, second: str, config: FilterConfig) -> bool:
    return config.same_digits and _digits(first) != _digits(second)


def _digits(text: str) -> list[str]:
    return sorted(character for character in text if character.isdecimal())


def _has_markup(first: str, second: str, config: FilterConfig) -> bool:
    return not config.markup and bool(_MARKUP.search(first) or _MARKUP.search(second))


def _is_copy(first: str, second: str, config: FilterConfig) -> bool:
    """One text twice, which is no translation; a name or a number may well be."""
    del config
    return len(first) > _FEW_CHARACTERS and first.casefold() == second.casefold()


RULES: dict[str, Rule] = {
    "empty side": _has_empty_side,
    "too long": _is_too_long,
    "ratio of lengths": _has_wrong_ratio,
    "few letters": _has_few_letters,
    "other digits": _has_other_digits,
    "markup": _has_markup,
    "copy": _is_copy,
}


def broken_rule(first: str, second: str, config: FilterConfig) -> str | None:
    """The first rule that a pair breaks, by its name in `RULES`; None for a pair to keep.

    Example:
        >>> broken_rule("Room 12", "Stanza 21", FilterConfig())
        >>> broken_rule("Room 12", "Stanza 13", FilterConfig())
        'other digits'
    """
    return next((name for name, breaks in RULES.items() if breaks(first, second, config)), None)
