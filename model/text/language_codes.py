"""The form of a language's code. Knows nothing of PyTorch."""

from __future__ import annotations

import re

_CODE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")  # RFC 5646, as far as its form goes


def is_language_code(text: str) -> bool:
    """Whether a text has the form of a BCP-47 language tag; a language of that code need not exist.

    >>> is_language_code("zh-Hans"), is_language_code("zho_Hans")
    (True, False)
    """
    return _CODE.fullmatch(text) is not None
