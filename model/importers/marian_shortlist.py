"""Marian's binary lexical shortlists, `lex.*.bin`: which target tokens each source token may become."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.importers.errors import ForeignModelError
from model.importers.imported_model import ImportedModel
from model.shortlist.shortlist import NO_TAG, Shortlist, ShortlistError, ShortlistTable

_MAGIC = 0xF11A48D5013417F5
_HEADER = struct.Struct("<6Q")  # magic, checksum, frequent and best tokens, numbers of offsets and ids
_CHECKED_FROM = 16  # bytes: what the checksum covers
_MASK = (1 << 64) - 1


def read_marian_shortlist(path: Path, vocabulary_size: int) -> Shortlist:
    """Read a shortlist of a model with one vocabulary for source and target.

    Args:
        vocabulary_size: V of the model.

    Raises:
        ForeignModelError: It is missing, damaged, or of another vocabulary.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    try:
        return Shortlist(vocabulary_size, {NO_TAG: _table(content, vocabulary_size)})
    except (ForeignModelError, ShortlistError) as error:
        raise ForeignModelError(f"{path}: {error}") from error


def with_shortlist(imported: ImportedModel, path: Path | None) -> ImportedModel:
    """A model with its shortlist, if it has one; of two vocabularies it is left out.

    Raises:
        ForeignModelError: The file is damaged, or of another vocabulary.
    """
    if path is None:
        return imported
    if not imported.tokenizer.has_one_vocabulary:
        reason = f"{path.name}: shortlists of two vocabularies are not supported"
        return replace(imported, omissions=(reason,))
    return replace(imported, shortlist=read_marian_shortlist(path, imported.tokenizer.size))


def _table(content: bytes, vocabulary_size: int) -> ShortlistTable:
    if len(content) < _HEADER.size:
        raise ForeignModelError(f"damaged: {len(content)} bytes, a shortlist has at least {_HEADER.size}")
    magic, checksum, num_frequent, _, num_offsets, num_ids = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        raise ForeignModelError(f"not a binary shortlist: it opens with {magic:#x}, must with {_MAGIC:#x}")
    needed = _HEADER.size + 8 * num_offsets + 4 * num_ids
    if len(content) != needed:
        raise ForeignModelError(f"damaged: {len(content)} bytes, must be {needed}")
    if (computed := _checksum(content)) != checksum:
        raise ForeignModelError(f"damaged: its checksum is {computed:#x}, must be {checksum:#x}")
    if num_offsets != vocabulary_size + 1 or num_frequent > vocabulary_size:
        raise ForeignModelError(
            f"it is of {num_offsets - 1} source tokens and the {num_frequent} most frequent target tokens, "
            f"the model has {vocabulary_size}"
        )
    offsets = np.frombuffer(content, "<u8", num_offsets, _HEADER.size).astype(np.int64)
    ids = np.frombuffer(content, "<u4", num_ids, _HEADER.size + 8 * num_offsets).astype(np.int64)
    is_always = np.arange(vocabulary_size) < num_frequent
    return ShortlistTable(is_always=is_always, offsets=offsets, targets=ids)


def _checksum(content: bytes) -> int:
    """Boost's hash_combine over all that follows it; four bytes that are left over do not count."""
    count = (len(content) - _CHECKED_FROM) // 8
    value = 0
    for word in np.frombuffer(content, "<u8", count, _CHECKED_FROM).tolist():
        value ^= (word + 0x9E3779B9 + (value << 6) + (value >> 2)) & _MASK
    return value
