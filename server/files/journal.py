"""What has been translated of a file so far, beside its output: a command that was killed goes on there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self


class Journal:
    """Lines of JSON: what is translated how, and then each text as it is done.

    Args:
        path: Of the journal; what another file or other options left there is thrown away.
        content: Of the file that is translated.
        options: All that its translation depends on.

    Attributes:
        texts: By the number of its place each text that was done before.
    """

    def __init__(self, path: Path, content: bytes, options: Mapping[str, object]) -> None:
        self._path = path
        head = {"sha256": hashlib.sha256(content).hexdigest(), "options": dict(options)}
        self.texts = _read(path, json.loads(json.dumps(head)))
        lines = (_line(number, text) for number, text in self.texts.items())  # none that a kill has cut
        write_whole(path, "".join((json.dumps(head) + "\n", *lines)).encode())
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, number: int, text: str) -> None:
        """Note the text of a place, for good."""
        self._file.write(_line(number, text))
        self._file.flush()

    def remove(self) -> None:
        """All is done."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _line(number: int, text: str) -> str:
    return json.dumps([number, text], ensure_ascii=False) + "\n"


def _read(path: Path, head: Mapping[str, object]) -> dict[int, str]:
    try:
        first, *lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    if _loaded(first) != head:
        return {}
    return dict(entry for entry in map(_entry, lines) if entry is not None)


def _entry(line: bytes) -> tuple[int, str] | None:
    """What a line notes; None for one that a kill has cut, or that nobody here wrote."""
    match _loaded(line):
        case [int(number), str(text)] if not isinstance(number, bool) and _is_text(text):
            return number, text
    return None


def _loaded(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_text(text: str) -> bool:
    """Whether it holds no half of a surrogate pair, which JSON can write."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; through a link, and with the mode that it had."""
    path = path.resolve()
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        if path.exists():
            os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def require_writable(path: Path) -> None:
    """Refuse before any work what could not be written at its end.

    Raises:
        OSError: the path is there and no regular file, or its folder cannot be written to.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    folder = path.resolve().parent
    if not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES if folder.exists() else errno.ENOENT, "cannot be written to", str(folder))
