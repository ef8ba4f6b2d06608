"""A journal brings back what was done, and nothing of another file."""

from __future__ import annotations

from pathlib import Path

from server.files.journal import Journal, write_whole


def test_what_was_noted_is_there_again_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "out.journal"
    with Journal(path, b"file", {"languages": ("en", "it")}) as journal:
        assert journal.texts == {}
        journal.add(3, "Uno.\nDue. 🛶")
        journal.add(0, "")
    with path.open("a", encoding="utf-8") as file:
        file.write('[1, "Tr')  # cut by a kill
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
