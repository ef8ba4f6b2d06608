"""docs/tutorial.md works as it stands there: every block of it is run, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.page_runner import ROOT, PageRunner
from tests.docs.pages import blocks_of

PAGE = ROOT / "docs/tutorial.md"


@pytest.mark.timeout(1800)  # it trains and exports a model twice
def test_a_reader_gets_from_nothing_to_a_model_that_is_served_and_reloaded(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    folder = tmp_path / "tutorial"
    folder.mkdir()
    with PageRunner(folder) as reader:
        for block in blocks_of(PAGE.read_text(encoding="utf-8")):
            reader.do(block)


def test_little_of_the_page_is_left_out() -> None:
    """Only what sets up the environment and the folder that this test has already."""
    skipped = [block.code for block in blocks_of(PAGE.read_text(encoding="utf-8")) if block.role == "skip"]
    assert skipped == [
        "make setup\nsource .venv/bin/activate\n",
        "mkdir tutorial && cd tutorial\n",
    ]
