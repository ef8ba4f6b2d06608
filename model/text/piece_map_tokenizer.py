"""The tokenizer of models that number pieces themselves, as OPUS-MT's and NLLB's: SentencePiece and a map.

SentencePiece cuts a text into pieces; the map, and not the file, says which id a piece has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import sentencepiece

from model.text.piece_map import END_PIECE, UNKNOWN_PIECE, PieceMap, is_language_mark, piece_map_of
from model.text.sentencepiece_tokenizer import FILE_NAME
from model.text.special_ids import SpecialIds
from model.text.tokenizer import TokenizerError, listed_directions

TARGET_NAME = "target_tokenizer.model"
PIECES_NAME = "pieces.json"


class PieceMapTokenizer:
    """A vocabulary for source and target, or one for each, and a SentencePiece file for each.

    A source is encoded as `[pieces..., end]`, with the mark of the target language in front where the model
    has such marks, and that of its own language in front, or behind the end, where it has those. Pieces that
    the map lacks are unknown, and so is text that looks like a special piece or a mark: whatever a user
    writes is text.

    Args:
        pieces: The map, and the languages.
        source_model, target_model: The serialised SentencePiece models.

    Raises:
        TokenizerError: A model is damaged.
    """

    def __init__(self, pieces: PieceMap, source_model: bytes, target_model: bytes) -> None:
        self._pieces = pieces
        self._models = (source_model, target_model)
        self._source, self._target = _processor("source", source_model), _processor("target", target_model)
        sources = _ids(pieces.source_pieces)
        targets = sources if pieces.target_pieces is None else _ids(pieces.target_pieces)
        self._special_ids = SpecialIds(
            padding=pieces.padding,
            unknown=targets[UNKNOWN_PIECE],
            start=pieces.start,
            end=targets[END_PIECE],
        )
        self._source_end, self._source_unknown = sources[END_PIECE], sources[UNKNOWN_PIECE]
        self._marks = {
            language: [] if mark is None else [sources[mark]]
            for language, mark in pieces.target_languages.items()
        }
        self._source_languages = frozenset((None, *pieces.source_languages))
        self._source_marks = {language: sources[mark] for language, mark in pieces.source_marks.items()}
        self._first_ids = {language: targets[piece] for language, piece in pieces.first_target_pieces.items()}
        special = dataclasses.asdict(self._special_ids).values()
        names = {pieces.last_pieces[i] for i in special}
        names |= {*pieces.source_marks.values(), *pieces.first_target_pieces.values(), *pieces.control_pieces}
        self._source_ids = _ids_of_text(sources, names)
        self._target_ids = _ids_of_text(targets, names)
        self._written_ids = frozenset(self._target_ids.values())

    @classmethod
    def load(cls, folder: Path) -> PieceMapTokenizer:
        """Read the tokenizer that `save` wrote.

        Raises:
            TokenizerError: A file is missing or damaged.
        """
        if not (folder / TARGET_NAME).is_file():
            raise TokenizerError(f"{folder} has no {TARGET_NAME}")
        path = folder / PIECES_NAME
        try:
            pieces = piece_map_of(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, TokenizerError) as error:
            raise TokenizerError(f"{path}: {error}") from error
        return cls(pieces, (folder / FILE_NAME).read_bytes(), (folder / TARGET_NAME).read_bytes())

    def save(self, folder: Path) -> None:
        """Write tokenizer.model (the source's), target_tokenizer.model and pieces.json."""
        for name, model in zip((FILE_NAME, TARGET_NAME), self._models, strict=True):
            (folder / name).write_bytes(model)
        (folder / PIECES_NAME).write_text(self._pieces.to_json(), encoding="utf-8")

    @property
    def special_ids(self) -> SpecialIds:
        """Those of the target; sources end with the end of theirs."""
        return self._special_ids

    @property
    def serialized(self) -> bytes:
        """Both SentencePiece models as they were read, and the map."""
        return b"".join((*self._models, self._pieces.to_json().encode()))

    @property
    def size(self) -> int:
        """V of the target."""
        return len(self._pieces.last_pieces)

    @property
    def source_size(self) -> int:
        """V of the source."""
        return len(self._pieces.source_pieces)

    @property
    def has_one_vocabulary(self) -> bool:
        """Whether source and target share their pieces."""
        return self._pieces.target_pieces is None

    @property
    def languages(self) -> tuple[str, ...]:
        """Those of sources, then those of targets."""
        return tuple(dict.fromkeys((*self._pieces.source_languages, *self._pieces.target_languages)))

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """Each source language with each other target language."""
        return self._pieces.directions

    def piece(self, token_id: int) -> str:
        """The piece behind an id of a target, "▁" marking a space."""
        return self._pieces.last_pieces[token_id]

    def source_piece(self, token_id: int) -> str:
        """The piece behind an id of a source."""
        return self._pieces.source_pieces[token_id]

    def encode_source(
        self, text: str, target_language: str, *, source_language: str | None = None
    ) -> list[int]:
        """Source text as ids, the mark of the target language first, if there is one, and the end last.

        Raises:
            TokenizerError: These are not its languages.
        """
        pieces = self._pieces
        if target_language not in self._marks or source_language not in self._source_languages:
            known = listed_directions(self.directions)
            asked = f"{source_language or pieces.source_languages[0]}-{target_language}"
            raise TokenizerError(f"translates {known}, not {asked}")
        ids, unknown = self._source_ids, self._source_unknown
        words = [ids.get(piece, unknown) for piece in self._source.EncodeAsPieces(text)]
        if not self._source_marks:
            return [*self._marks[target_language], *words, self._source_end]
        mark = self._source_mark(source_language)
        return (
            [*words, self._source_end, mark]
            if pieces.source_marks_follow
            else [mark, *words, self._source_end]
        )

    def _source_mark(self, language: str | None) -> int:
        languages = self._pieces.source_languages
        if language is None and len(languages) > 1:
            raise TokenizerError(f"the source is in one of {', '.join(languages)}: which one must be said")
        return self._source_marks[language or languages[0]]

    def first_target_token(self, target_language: str) -> int | None:
        """The id of the language's piece where targets begin with one, else None."""
        return self._first_ids.get(target_language)

    def encode_target(self, text: str, *, target_language: str | None = None) -> list[int]:
        """Target text as ids, the language's piece first where targets begin with one, and the end last.

        Raises:
            TokenizerError: Targets begin with their language, and this is none that it knows.
        """
        ids, special = self._target_ids, self._special_ids
        words = [ids.get(piece, special.unknown) for piece in self._target.EncodeAsPieces(text)]
        if not self._first_ids:
            return [*words, special.end]
        if target_language not in self._first_ids:
            raise TokenizerError(f"a target begins with its language, and {target_language!r} is not known")
        return [self._first_ids[target_language], *words, special.end]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Ids to text; special pieces and marks leave no trace."""
        last_pieces, written = self._pieces.last_pieces, self._written_ids
        shown = [last_pieces[i] for i in map(int, token_ids) if i in written]
        return str(self._target.DecodePieces(shown)).replace("▁", " ").strip()


def _ids(pieces: Sequence[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(pieces)}


def _ids_of_text(ids: Mapping[str, int], special: set[str]) -> dict[str, int]:
    """The ids that text may have."""
    return {piece: i for piece, i in ids.items() if piece not in special and not is_language_mark(piece)}


def _processor(side: str, model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise TokenizerError(f"the {side}'s is not a SentencePiece model: {error}") from error
    return processor
