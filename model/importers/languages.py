"""Codes of languages as people and foreign files write them."""

from __future__ import annotations

from model.importers.errors import ForeignModelError
from model.text.language_codes import is_language_code


def language_code(text: str) -> str:
    """A code in the form in which clients ask for it.

    Raises:
        ForeignModelError: It has no such form.

    >>> language_code("zho_Hans")
    'zho-Hans'
    """
    code = text.replace("_", "-")
    if not is_language_code(code):
        raise ForeignModelError(f"{text!r} is no BCP-47 language code, say with --languages what is meant")
    return code


def language_codes(text: str) -> tuple[str, ...]:
    """Codes with commas between them.

    Raises:
        ForeignModelError: One has not the form of a code, or stands twice.
    """
    codes = tuple(map(language_code, text.split(",")))
    if len(set(codes)) < len(codes):
        raise ForeignModelError(f"languages are {text!r}, must be different codes")
    return codes
