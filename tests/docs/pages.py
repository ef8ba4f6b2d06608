"""The code blocks of a Markdown page, and what a comment before each says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# <!-- role: argument -->
# ```language
# code
# ```
_BLOCK = re.compile(
    r"(?:^<!-- (?P<role>[a-z]+)(?:: (?P<argument>[^\n]*?))? -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block.

    Args:
        role: What the comment before it says: run (none), skip, file, background or output.
        argument: Of the role: a file's name, the mark of readiness, which part of the output is meant.
        language: As the fence names it; empty is a shell's.
    """

    role: str
    argument: str
    language: str
    code: str


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks that begin at a line's start, in order.

    >>> [block] = blocks_of("<!-- file: a.py -->\\n```python\\nx = 1\\n```\\n")
    >>> block.role, block.argument, block.language, block.code
    ('file', 'a.py', 'python', 'x = 1\\n')
    """
    return [
        Block(
            role=block["role"] or "run",
            argument=block["argument"] or "",
            language=block["language"],
            code=block["code"],
        )
        for block in _BLOCK.finditer(page)
    ]
