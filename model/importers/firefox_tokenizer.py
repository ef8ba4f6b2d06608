"""The tokenizer of a student of Firefox's: a SentencePiece file for both sides, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.importers.errors import ForeignModelError
from model.importers.marian_options import MarianNetwork
from model.importers.sentencepiece_file import pieces_of, read_sentencepiece
from model.text.one_direction_tokenizer import OneDirectionTokenizer
from model.text.piece_map import END_PIECE, PieceMap
from model.text.piece_map_tokenizer import PieceMapTokenizer
from model.text.tokenizer import Tokenizer, TokenizerError


def one_or_pair(vocabularies: Sequence[Path]) -> list[Path]:
    """A file for both sides, or the source's and the target's by their names; none where it is not clear."""
    if len(vocabularies) == 1:
        return [*vocabularies]
    pair = [
        path for prefix in ("srcvocab", "trgvocab") for path in vocabularies if path.name.startswith(prefix)
    ]
    return pair if len(pair) == len(vocabularies) == 2 else []


def read_tokenizer(paths: Sequence[Path], languages: tuple[str, str], network: MarianNetwork) -> Tokenizer:
    """Read one vocabulary, or those of source and target.

    Raises:
        ForeignModelError: A file is missing or damaged, or the vocabularies are more or fewer than the model
            has, or of another size.
    """
    names = ", ".join(path.name for path in paths)
    expected = (
        [network.vocabulary]
        if network.source_vocabulary is None
        else [network.source_vocabulary, network.vocabulary]
    )
    if len(paths) != len(expected):
        raise ForeignModelError(f"{names}: {len(paths)} vocabularies, the model has {len(expected)}")
    models = [read_sentencepiece(path) for path in paths]
    try:
        tokenizer = (
            OneDirectionTokenizer(models[0], *languages) if len(models) == 1 else _of_two(models, languages)
        )
    except TokenizerError as error:
        raise ForeignModelError(f"cannot read {names}: {error}") from error
    for path, size, wanted in zip(paths, (tokenizer.source_size, tokenizer.size), expected, strict=False):
        if size != wanted:
            raise ForeignModelError(f"{path} has {size} pieces, the model {wanted}")
    return tokenizer


def _of_two(models: Sequence[bytes], languages: tuple[str, str]) -> Tokenizer:
    """Ids are those of the files, and there is no padding and no start: the end stands in for them."""
    source, target = map(pieces_of, models)
    end = min(pieces.index(END_PIECE) if END_PIECE in pieces else 0 for pieces in (source, target))
    pieces = PieceMap(
        source_languages=languages[:1],
        target_languages={languages[1]: None},
        source_pieces=source,
        target_pieces=target,
        padding=end,
        start=end,
    )
    return PieceMapTokenizer(pieces, *models)
