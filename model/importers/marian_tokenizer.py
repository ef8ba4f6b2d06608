"""The tokenizer of a native Marian model: SentencePiece files with ids of their own, or vocabularies in YAML.

With vocabularies in YAML a text is cut by `source.spm` and `target.spm`, as OPUS-MT releases have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.importers.errors import ForeignModelError
from model.importers.firefox_tokenizer import read_tokenizer as read_sentencepiece_vocabularies
from model.importers.languages import language_codes, languages_in_name, marked_targets, one_each
from model.importers.marian_options import MarianNetwork
from model.importers.marian_vocabulary import read_vocabulary
from model.importers.sentencepiece_file import check_cover, read_sentencepiece
from model.text.piece_map import END_PIECE, PieceMap
from model.text.piece_map_tokenizer import PieceMapTokenizer
from model.text.tokenizer import Tokenizer, TokenizerError

_SEGMENTERS = ("source.spm", "target.spm")


def read_tokenizer(
    model: Path, vocabularies: Sequence[Path], network: MarianNetwork, languages: tuple[str, str] | None
) -> Tokenizer:
    """Read a native model's tokenizer.

    Args:
        model: The model's file, for its name.
        vocabularies: Of both sides, or of source and target.
        languages: Codes of source and target, several with commas between them; None for those in the
            model's name.

    Raises:
        ForeignModelError: A file is missing or damaged, the files do not fit each other or the network, or
            nothing says the languages.
    """
    source, target = vocabularies[0], vocabularies[-1]
    if network.source_vocabulary is None and source != target:
        raise ForeignModelError(f"{source.name}, {target.name}: 2 vocabularies, the model has 1")
    languages = languages or languages_in_name(model)
    are_sentencepiece = {path.suffix == ".spm" for path in (source, target)}
    if are_sentencepiece == {True, False}:
        raise ForeignModelError(f"{source.name}, {target.name}: both must be SentencePiece files, or neither")
    if are_sentencepiece == {True}:
        paths = [source] if network.source_vocabulary is None else [source, target]
        return read_sentencepiece_vocabularies(paths, one_each(languages), network)
    return _of_yaml(source, target, network, languages)


def _of_yaml(source: Path, target: Path, network: MarianNetwork, languages: tuple[str, str]) -> Tokenizer:
    source_pieces = _pieces(source, network.source_vocabulary or network.vocabulary)
    target_pieces = source_pieces if source == target else _pieces(target, network.vocabulary)
    models = [_segmenter(source.parent / name) for name in _SEGMENTERS]
    for name, model, pieces in zip(_SEGMENTERS, models, (source_pieces, target_pieces), strict=True):
        check_cover(source.parent / name, model, pieces)
    # There is no padding and no start: the end stands in for them.
    end = min(pieces.index(END_PIECE) for pieces in (source_pieces, target_pieces))
    try:
        piece_map = PieceMap(
            source_languages=language_codes(languages[0]),
            target_languages=marked_targets(source_pieces, languages[1]),
            source_pieces=source_pieces,
            target_pieces=None if source == target else target_pieces,
            padding=end,
            start=end,
        )
        return PieceMapTokenizer(piece_map, *models)
    except TokenizerError as error:
        raise ForeignModelError(f"{source.name}: {error}") from error


def _pieces(path: Path, size: int) -> tuple[str, ...]:
    pieces = read_vocabulary(path)
    if len(pieces) != size:
        raise ForeignModelError(f"{path} has {len(pieces)} pieces, the model {size}")
    if END_PIECE not in pieces:
        raise ForeignModelError(f"{path} has no piece {END_PIECE!r}")
    return pieces


def _segmenter(path: Path) -> bytes:
    if not path.is_file():
        raise ForeignModelError(
            f"no {path}: vocabularies in YAML need {' and '.join(_SEGMENTERS)}, other ways to cut text into "
            "pieces are not supported"
        )
    return read_sentencepiece(path)
