"""The page of the server's flags is what the flags say."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.command_line import option_rows
from server.commands.flags import flag_table, main

PAGE = Path(__file__).parents[4] / "docs" / "flags.md"


def test_the_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert PAGE.read_text() == capsys.readouterr().out


def test_the_table_has_a_line_for_each_option() -> None:
    head, rule, *lines = flag_table().splitlines()
    assert set(rule) == {"|", "-"}
    assert len(lines) == len(list(option_rows()))
    for row, line in zip(option_rows(), lines, strict=True):
        assert f"`{row.flag}`" in line
        assert f"`{row.variable}`" in line
        assert line.count("|") == head.count("|")
