"""Writes docs/flags.md: `python -m server.commands.flags > docs/flags.md`."""

from __future__ import annotations

import sys
import textwrap

from server.command_line import OptionRow, option_rows

_WIDTH = 48  # characters of a cell's line
_HEAD = """\
# Flags of traghetto-serve

Each flag has an environment variable; a flag wins. The models' folders are plain arguments, or come
from `TRAGHETTO_ARTIFACTS`, separated by `:`. Where the default is *none*, the option is absent, and
what that means stands beside it. This page is written by
`python -m server.commands.flags > docs/flags.md`.

"""


def flag_table() -> str:
    """Every option of the server as a Markdown table, long cells broken into lines."""
    head = "| flag, variable | value | default | what it is |\n|---|---|---|---|\n"
    return head + "".join(f"{_line(row)}\n" for row in option_rows())


def _line(row: OptionRow) -> str:
    default = row.default if row.default in {"none", "off"} else f"`{row.default}`"
    words = "<br>".join(textwrap.wrap(row.help, _WIDTH, break_long_words=False))
    return f"| `{row.flag}`<br>`{row.variable}` | {row.kind} | {default} | {words} |"


def main() -> int:
    """Print the page."""
    sys.stdout.write(_HEAD + flag_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
