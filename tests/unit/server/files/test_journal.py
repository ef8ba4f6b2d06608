"""A journal brings back what was done, and nothing of another file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.files.journal import Journal, require_writable, write_whole


def test_what_was_noted_is_there_again_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "out.journal"
    with Journal(path, b"file", {"languages": ("en", "it")}) as journal:
        assert journal.texts == {}
        journal.add(3, "Uno.\nDue. 🛶")
        journal.add(0, "")
    with path.open("a", encoding="utf-8") as file:
        file.write('[1, "Tr')  # cut by a kill
    with path.open("ab") as bytes_file:
        bytes_file.write("è".encode()[:1])  # within a character
    with Journal(path, b"file", {"languages": ("en", "it")}) as again:
        assert again.texts == {3: "Uno.\nDue. 🛶", 0: ""}
        again.add(1, "Tre.")
    with Journal(path, b"file", {"languages": ("en", "it")}) as last:
        assert last.texts == {3: "Uno.\nDue. 🛶", 0: "", 1: "Tre."}
        last.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_file_or_other_options_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.journal"
    for content, options in ((b"a", {"beam": 1}), (b"b", {"beam": 1}), (b"b", {"beam": 4})):
        with Journal(path, content, options) as journal:
            assert journal.texts == {}
            journal.add(0, "Uno.")


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    write_whole(tmp_path / "out", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"new"


@pytest.mark.parametrize(
    "line",
    ['[[1],"x"]', "[0,5]", '[0,"\\ud800"]', '[true,"one"]', '[0.0,"zero"]', "[" * 100_000, "{}", '[1,"a",2]'],
)
def test_lines_that_no_journal_writes_are_no_texts(tmp_path: Path, line: str) -> None:
    path = tmp_path / "out.journal"
    with Journal(path, b"file", {}) as journal:
        journal.add(7, "Sette.")
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with Journal(path, b"file", {}) as again:
        assert again.texts == {7: "Sette."}


def test_a_link_stays_one_and_a_file_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o600)


def test_what_cannot_be_written_is_refused_before(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "nowhere" / "out"):
        with pytest.raises(OSError, match=r"is no regular file|cannot be written to"):
            require_writable(path)
    require_writable(tmp_path / "out")
