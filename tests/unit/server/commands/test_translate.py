"""Input of traghetto-translate that no server needs to see."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server.commands.translate import main


@pytest.fixture
def run_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the command where no server is; it must say what is wrong with its input and draw nothing."""

    def run(*arguments: str, stdin: str = "") -> str:
        flags = ["--source=en", "--target=it", "--server=127.0.0.1:1", f"--attention={tmp_path / 'a.png'}"]
        monkeypatch.setattr(sys, "argv", ["traghetto-translate", *flags, *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        assert main() == 2
        printed, error = capsys.readouterr()
        assert printed == ""
        assert not list(tmp_path.iterdir())
        return error

    return run


def test_without_matplotlib_nothing_is_translated_only_to_be_lost(
    run_in_vain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'traghetto-server[draw]'" in run_in_vain("Good morning.")


@pytest.mark.parametrize(("stdin", "count"), [("", "none"), ("One.\nTwo.\nThree.\n", "more")])
def test_attention_is_drawn_of_exactly_one_line(
    run_in_vain: Callable[..., str], stdin: str, count: str
) -> None:
    expected = f"traghetto-translate: --attention draws one text, standard input has {count}\n"
    assert run_in_vain(stdin=stdin) == expected
