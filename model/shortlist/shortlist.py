"""A vocabulary shortlist: the target tokens that a sentence's translation may need.

Knows nothing of PyTorch: the server imports it too. `model/shortlist/learning.py` learns one from text.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.text.special_ids import DEFAULT_SPECIAL_IDS

FILE_NAME = "shortlist.bin"
END_ID = DEFAULT_SPECIAL_IDS.end  # the file names none: its vocabularies are those trained here
_MAGIC = b"TRAGHSL1"
_HEADER = struct.Struct("<8sII")  # magic, V, number of tables
_TABLE = struct.Struct("<III")  # tag, number of ids that are always candidates, number of targets
_CHECKSUM = struct.Struct("<I")  # CRC-32 of all before it
NO_TAG = 0xFFFFFFFF  # in place of a tag: the one table of sources without tags


class ShortlistError(ValueError):
    """A shortlist's file is missing or damaged, or it has no table for a tag."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShortlistTable:
    """The candidates of one direction.

    Args:
        is_always: (V), True for the candidates of every sentence.
        offsets: (V + 1), those of source token i are targets[offsets[i] : offsets[i + 1]].
        targets: (N) ids.
    """

    is_always: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    targets: NDArray[np.int64]

    def faults(self, vocabulary_size: int, *, has_end_id: bool = True) -> list[str]:
        """What does not fit this vocabulary or each other; `has_end_id` if the vocabulary is one of ours."""
        found = []
        if self.is_always.shape != (vocabulary_size,) or (has_end_id and not self.is_always[END_ID]):
            found.append(f"is_always must have {vocabulary_size} entries and hold END_ID")
        ends = (self.offsets[0], self.offsets[-1]) if len(self.offsets) == vocabulary_size + 1 else None
        if ends != (0, len(self.targets)) or np.any(np.diff(self.offsets) < 0):
            found.append(f"offsets must be {vocabulary_size + 1}, rising from 0 to {len(self.targets)}")
        if np.any((self.targets < 0) | (self.targets >= vocabulary_size)):
            highest = int(self.targets.max())
            found.append(
                f"a target is out of range, the highest is {highest}, must be below {vocabulary_size}"
            )
        return found


class Shortlist:
    """A table for each target language, by the id of its tag, the first token of a source; or one for all.

    The decoder then scores only some hundred tokens of each sentence; the idea is Jean et al.'s 2015
    (arXiv:1412.2007, section 3.3), as a lexical shortlist it came to Marian and CTranslate2.

    Args:
        vocabulary_size: V of the model.
        tables: By tag; or a single one, of sources without tags, by `NO_TAG`.

    Raises:
        ShortlistError: A table or a tag does not fit the vocabulary; lists all faults.
    """

    def __init__(self, vocabulary_size: int, tables: Mapping[int, ShortlistTable]) -> None:
        if faults := list(_faults(vocabulary_size, tables)):
            raise ShortlistError("not a shortlist: " + "; ".join(faults))
        self._vocabulary_size = vocabulary_size
        self._has_tags = NO_TAG not in tables
        self._tables = dict(sorted(tables.items()))
        self._rows = {tag: np.split(t.targets, t.offsets[1:-1]) for tag, t in self._tables.items()}

    @property
    def vocabulary_size(self) -> int:
        """V, one above the highest possible id."""
        return self._vocabulary_size

    @property
    def tags(self) -> tuple[int, ...]:
        """The tags that it has a table for, ascending; none if it is of sources without tags."""
        return tuple(self._tables) if self._has_tags else ()

    @property
    def fewest_candidates(self) -> int:
        """What every source has at least."""
        return min((int(table.is_always.sum()) for table in self._tables.values()), default=0)

    def table(self, tag: int) -> ShortlistTable:
        """The table of a target language.

        Raises:
            ShortlistError: It has none for this tag.
        """
        if tag not in self._tables:
            raise ShortlistError(f"no table for the tag {tag}, only for {', '.join(map(str, self._tables))}")
        return self._tables[tag]

    def table_of(self, source: Sequence[int]) -> ShortlistTable:
        """The table of a source that is as `candidates` takes it.

        Raises:
            ShortlistError: It has none for the source's tag.
        """
        return self.table(source[0] if self._has_tags else NO_TAG)

    def candidates(self, source: Sequence[int]) -> NDArray[np.int64]:
        """The ids to score for one sentence, ascending, each once.

        They are those of every sentence, the likely translations of each token, and the source's own
        tokens, because names and numbers are copied. Nothing but this source decides on them.

        Args:
            source: Ids with the tag first, if there are tags, and the end last.

        Raises:
            ShortlistError: There is no table for the tag.
        """
        is_candidate = self.table_of(source).is_always.copy()  # (V)
        tag, text = (source[0], source[1:]) if self._has_tags else (NO_TAG, source)
        rows, own = self._rows[tag], np.asarray(text, dtype=np.int64)
        is_candidate[np.concatenate([own, *[rows[token] for token in text]])] = True
        return np.flatnonzero(is_candidate)

    def to_bytes(self) -> bytes:
        """The content of its file; the same tables give the same bytes."""
        id_type = _id_type(self._vocabulary_size)
        parts = [_HEADER.pack(_MAGIC, self._vocabulary_size, len(self._tables))]
        for tag, table in self._tables.items():
            always = np.flatnonzero(table.is_always)
            parts.append(_TABLE.pack(tag, len(always), len(table.targets)))
            parts += [x.astype(id_type).tobytes() for x in (always, np.diff(table.offsets), table.targets)]
        content = b"".join(parts)
        return content + _CHECKSUM.pack(zlib.crc32(content))

    @classmethod
    def from_bytes(cls, content: bytes) -> Shortlist:
        """Read what `to_bytes` wrote.

        Raises:
            ShortlistError: It is damaged.
        """
        body, checksum = content[: -_CHECKSUM.size], content[-_CHECKSUM.size :]
        if not body.startswith(_MAGIC):
            raise ShortlistError(f"not a shortlist: it does not open with {_MAGIC!r}")
        if checksum != _CHECKSUM.pack(zlib.crc32(body)):
            raise ShortlistError(f"damaged: its {len(content)} bytes do not have the checksum at their end")
        try:
            return _parse(body)
        except (struct.error, ValueError) as error:
            raise ShortlistError(f"damaged: {error}") from error

    def save(self, folder: Path) -> None:
        """Write it where `load` finds it."""
        (folder / FILE_NAME).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, folder: Path) -> Shortlist:
        """Read the shortlist of a checkpoint or an artifact.

        Raises:
            ShortlistError: The file is missing or damaged.
        """
        path = folder / FILE_NAME
        try:
            return cls.from_bytes(path.read_bytes())
        except (OSError, ShortlistError) as error:
            raise ShortlistError(f"cannot read {path}: {error}") from error


def _faults(vocabulary_size: int, tables: Mapping[int, ShortlistTable]) -> Iterator[str]:
    if NO_TAG in tables and len(tables) > 1:
        yield "beside a table of sources without tags there may be no other"
    for tag in tables:
        if tag != NO_TAG and not END_ID < tag < vocabulary_size:
            yield f"tag {tag} is out of range"
    for tag, table in tables.items():
        name = "no tag" if tag == NO_TAG else f"tag {tag}"
        yield from (f"{name}: {fault}" for fault in table.faults(vocabulary_size, has_end_id=tag != NO_TAG))


def _id_type(vocabulary_size: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype("<u2" if vocabulary_size <= 2**16 else "<u4")


def _parse(body: bytes) -> Shortlist:
    _, vocabulary_size, num_tables = _HEADER.unpack_from(body)
    id_type, position, tables = _id_type(vocabulary_size), _HEADER.size, {}
    for _ in range(num_tables):
        tag, num_always, num_targets = _TABLE.unpack_from(body, position)
        sizes = (num_always, vocabulary_size, num_targets)
        ids = np.frombuffer(body, id_type, sum(sizes), position + _TABLE.size).astype(np.int64)
        always, lengths, targets = np.split(ids, np.cumsum(sizes)[:-1])
        if num_always and always.max() >= vocabulary_size:
            raise ShortlistError(f"{always.max()} is out of range, must be below {vocabulary_size}")
        is_always = np.zeros(vocabulary_size, dtype=np.bool_)
        is_always[always] = True
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tables[tag] = ShortlistTable(is_always=is_always, offsets=offsets, targets=targets)
        position += _TABLE.size + ids.size * id_type.itemsize
    if position != len(body):
        raise ShortlistError(f"{len(body) - position} bytes too many")
    return Shortlist(vocabulary_size, tables)
