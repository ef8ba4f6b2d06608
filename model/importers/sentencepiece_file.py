"""SentencePiece files of others, checked for being whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError
from sentencepiece import SentencePieceProcessor
from sentencepiece import sentencepiece_model_pb2 as pb

from model.importers.errors import ForeignModelError


def read_sentencepiece(path: Path) -> bytes:
    """A SentencePiece file as it is.

    What follows the pieces must be there: SentencePiece itself takes a file that was cut between two pieces.

    Raises:
        ForeignModelError: It is missing, damaged or cut.
    """
    try:
        content = path.read_bytes()
        model = pb.ModelProto.FromString(content)  # type: ignore[attr-defined]
    except (OSError, DecodeError) as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    if missing := [name for name in ("trainer_spec", "normalizer_spec") if not model.HasField(name)]:
        raise ForeignModelError(f"{path} is damaged: it has no {' and no '.join(missing)}")
    try:
        SentencePieceProcessor().LoadFromSerializedProto(content)
    except RuntimeError as error:
        raise ForeignModelError(f"{path} is no SentencePiece model: {error}") from error
    return content


def pieces_of(model: bytes) -> tuple[str, ...]:
    """The pieces of a SentencePiece file, by its own ids.

    Args:
        model: What `read_sentencepiece` gave.
    """
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return tuple(str(processor.IdToPiece(i)) for i in range(processor.GetPieceSize()))


def check_cover(path: Path, model: bytes, pieces: Sequence[str]) -> None:
    """Hold a SentencePiece file against a vocabulary: some of its pieces may be without an id, most may not.

    Raises:
        ForeignModelError: It belongs to another model.
    """
    known, own = set(pieces), pieces_of(model)
    num_missing = sum(piece not in known for piece in own)
    if 2 * num_missing > len(own):
        raise ForeignModelError(
            f"{path} is of another model: {num_missing} of its {len(own)} pieces are not in the vocabulary"
        )
