"""Which served language a client's tag means: `en-US` finds `en`, `zh-Hans` does not find `zh-Hant`."""

from __future__ import annotations

from functools import lru_cache

import langcodes

_MOST_CHARACTERS = 64  # of a tag; RFC 5646 says that 35 are enough
_MACROLANGUAGE_DISTANCE = 1  # no and nb; other languages are farther apart, as near as they are


@lru_cache(maxsize=4096)
def distance(desired: str, served: str) -> int | None:
    """How far a language that is served is from the one that is asked for, by Unicode's data.

    Returns:
        0 and more; None for another language, or another script.

    >>> distance("en_US", "en"), distance("pt", "pt-BR"), distance("zh-Hans", "zh-Hant"), distance("hr", "sr")
    (0, 0, None, None)
    """
    if max(len(desired), len(served)) > _MOST_CHARACTERS:
        return None
    try:
        first, second = (langcodes.Language.get(tag).prefer_macrolanguage() for tag in (desired, served))
    except ValueError:  # no tag at all
        return None
    number = first.distance(second)
    is_same = first.language == second.language or number <= _MACROLANGUAGE_DISTANCE
    return number if is_same and first.maximize().script == second.maximize().script else None
