"""What has been translated of a file so far, beside its output: a command that was killed goes on there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

log = logging.getLogger("traghetto.files")


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
        unfinished = path.with_name(path.name + ".part")
        with unfinished.open("w", encoding="utf-8") as file:  # without a line that a kill has cut
            file.write(json.dumps(head) + "\n")
            file.writelines(_line(number, text) for number, text in self.texts.items())
        unfinished.replace(path)
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
        first, *lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    if _loaded(first) != head:
        return {}
    noted = [_loaded(line) for line in lines]
    return {entry[0]: entry[1] for entry in noted if isinstance(entry, list) and len(entry) == 2}


def _loaded(line: str) -> object:
    """None for a line that a kill has cut."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file such that it is there whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
