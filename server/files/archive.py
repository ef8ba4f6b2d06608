"""Files that are archives of others: office documents and books, of which some members hold text."""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from server.files.text_file import FileError, Place, TextFile

_MAX_BYTES = 1 << 30  # of all members together: a few kilobytes may unpack to more than any memory

# What zipfile raises at damaged content, by the way that a member is packed.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(OSError, EOFError, UnicodeDecodeError, NotImplementedError),
)

ReadMember = Callable[[bytes], TextFile]


class Archive:
    """A ZIP file; members without text, and all that is told of members, stay as they are.

    Args:
        content: Of the file.
        names: Of the members that hold text.
        read: Reads one of them.

    Raises:
        FileError: it is no ZIP file, damaged, encrypted, has two members of one name, or unpacks to more
            than 1 GiB.
    """

    def __init__(self, content: bytes, names: re.Pattern[str], read: ReadMember) -> None:
        self.content = content
        self._members: dict[str, TextFile] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if (size := sum(info.file_size for info in archive.infolist())) > _MAX_BYTES:
                    raise FileError(f"it unpacks to {size} bytes, the limit is {_MAX_BYTES}")
                count = Counter(info.filename for info in archive.infolist())
                if count and count.most_common(1)[0][1] > 1:
                    raise FileError(f"it has two members {count.most_common(1)[0][0]!r}")
                for info in archive.infolist():
                    member = archive.read(info)  # all of them: what is damaged is told before any work
                    if names.fullmatch(info.filename):
                        self._read(info.filename, member, read)
        except (*_DAMAGED, RuntimeError) as error:
            raise FileError(f"it is no ZIP file: {error}") from error

    def _read(self, name: str, content: bytes, read: ReadMember) -> None:
        try:
            member = read(content)
        except FileError as error:
            raise FileError(f"{name}: {error}") from error
        if member.places:
            self._members[name] = member

    @property
    def places(self) -> tuple[Place, ...]:
        """Of all members, in their order."""
        return tuple(place for member in self._members.values() for place in member.places)

    def where(self, number: int) -> str:
        """The member that a place is in."""
        for name, member in self._members.items():
            if number < len(member.places):
                return name
            number -= len(member.places)
        raise IndexError(number)

    def filled(self, texts: Sequence[str | None]) -> bytes:
        """The archive with a text in each place; None leaves a place as it is."""
        filled: dict[str, bytes] = {}
        for name, member in self._members.items():
            filled[name] = member.filled(texts[: len(member.places)])
            texts = texts[len(member.places) :]
        return _rewritten(self.content, filled)


def _rewritten(content: bytes, members: Mapping[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(output, "w") as new:
        new.comment = old.comment
        for info in old.infolist():  # `mimetype` stays the first, and unpacked
            member = members.get(info.filename)
            new.writestr(info, old.read(info) if member is None else member)
    return output.getvalue()
