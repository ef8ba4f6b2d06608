"""Elements whose text is to stay: marked for the server in the text, and unmarked in its translation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


def ignoring(text: str, names: Sequence[str]) -> tuple[str, Callable[[str], str]]:
    r"""A text of XML or HTML with `translate="no"` at elements of these names, and what takes it out again.

    The attribute is written with tabs, more of them than the text has anywhere, so that an attribute of the
    text's own is never taken for ours.

    >>> marked, restored = ignoring("<p>one <x>two</x></p>", ["x"])
    >>> marked
    '<p>one <x\ttranslate="no">two</x></p>'
    >>> restored(marked)
    '<p>one <x>two</x></p>'
    """
    if not names:
        return text, str
    tabs = "\t"
    while f'{tabs}translate="no"' in text:
        tabs += "\t"
    mark = f'{tabs}translate="no"'
    found = "|".join(map(re.escape, names))
    marked = re.sub(rf"<(?:{found})(?=[\s/>])(?![^>]*\stranslate\s*=)", lambda tag: tag[0] + mark, text)
    return marked, lambda translation: translation.replace(mark, "")
