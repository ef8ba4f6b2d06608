"""The folder of a run: whose it is, and that its files are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.bulk.blocks import BulkError
from server.bulk.output import OutputFolder


def test_a_folder_goes_on_with_the_same_run_alone(tmp_path: Path) -> None:
    folder = OutputFolder(str(tmp_path / "out"))
    folder.begin({"beam_size": 4, "target": "it"})
    folder.begin({"beam_size": 4, "target": "it"})
    with pytest.raises(BulkError, match=r"another run: beam_size was 4, is None"):
        folder.begin({"beam_size": None, "target": "it"})


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(BulkError, match=r"is not empty and has no manifest\.json"):
        OutputFolder(str(tmp_path)).begin({})
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_a_killed_process_left_is_no_file(tmp_path: Path) -> None:
    folder = OutputFolder(str(tmp_path))
    (tmp_path / "00000.jsonl.abc.tmp").write_text("half")
    folder.begin({})
    folder.write("00000.jsonl", b"whole\n")
    assert folder.names() == {"manifest.json", "00000.jsonl"}
    folder.clear()
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "00000.jsonl"}
    assert folder.read("00000.jsonl") == b"whole\n"
