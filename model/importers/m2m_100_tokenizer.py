"""The tokenizers of M2M-100 and NLLB-200: one SentencePiece file, and behind its pieces one a language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.importers.errors import ForeignModelError, require
from model.importers.json_file import read_vocabulary
from model.importers.languages import language_codes
from model.importers.multilingual_languages import M2M_100, NLLB_200, WMT_21
from model.importers.sentencepiece_file import check_cover, pieces_of, read_sentencepiece
from model.importers.transformers_options import TransformersOptions
from model.importers.transformers_tokenizer import (
    PADDING_PIECE,
    TOKENIZER_NAME,
    added_tokens,
    content_of,
    id_faults,
    read_settings,
    sampling_faults,
)
from model.text.piece_map import END_PIECE, UNKNOWN_PIECE, PieceMap
from model.text.piece_map_tokenizer import PieceMapTokenizer
from model.text.tokenizer import TokenizerError

_MODEL_NAME, _VOCABULARY_NAME = "sentencepiece.bpe.model", "vocab.json"
_START_PIECE, _MASK_PIECE = "<s>", "<mask>"
_FIRST_PIECES = (_START_PIECE, PADDING_PIECE, END_PIECE, UNKNOWN_PIECE)
_OWN_SPECIAL = 3  # pieces that NLLB's SentencePiece file begins with: others stand in their place
_MAX_UNUSED = 64  # rows of the embeddings behind the last piece, which round their number up
_LANGUAGES = {"m2m100": M2M_100, "wmt21": WMT_21}
_CLASSES = {
    "M2M100Tokenizer": False,
    "M2M100TokenizerFast": False,
    "NllbTokenizer": True,
    "NllbTokenizerFast": True,
}


@dataclass(frozen=True, kw_only=True)
class _Pieces:
    """All pieces of a model by id but for the unused ones, and those of its languages by our code."""

    all: tuple[str, ...]
    of_languages: dict[str, str]


def read_tokenizer(
    folder: Path, options: TransformersOptions, languages: tuple[str, str] | None
) -> PieceMapTokenizer:
    """Read a folder's tokenizer.

    Args:
        languages: Codes of sources and targets, several with commas between them; None for all.

    Raises:
        ForeignModelError: A file is missing or damaged, the files do not fit each other or the network, or
            the model lacks a language.
    """
    settings = read_settings(folder)
    require([*_setting_faults(settings)], str(folder / TOKENIZER_NAME))
    model = read_sentencepiece(folder / _MODEL_NAME)
    pieces = _nllb(model) if _is_nllb(folder, settings) else _m2m_100(folder, model, settings)
    require([*_id_faults(pieces.all, options), *_added_faults(folder, settings, pieces.all)], str(folder))
    sources, targets = (_chosen(pieces.of_languages, languages and languages[i]) for i in (0, 1))
    unused = tuple(f"<unused {i}>" for i in range(len(pieces.all), options.target_vocabulary))
    try:
        piece_map = PieceMap(
            source_languages=tuple(sources),
            target_languages=dict.fromkeys(targets),
            source_pieces=(*pieces.all, *unused),
            padding=options.padding,
            start=options.start,
            source_marks=sources,
            source_marks_follow=settings.get("legacy_behaviour") is True,
            first_target_pieces=targets,
            control_pieces=(
                _START_PIECE,
                *([_MASK_PIECE] if _MASK_PIECE in pieces.all else []),
                *pieces.of_languages.values(),
                *unused,
            ),
        )
        return PieceMapTokenizer(piece_map, model, model)
    except TokenizerError as error:
        raise ForeignModelError(f"{folder}: {error}") from error


def _setting_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    known: dict[str, tuple[str | bool, ...]] = {
        "tokenizer_class": tuple(_CLASSES),
        "language_codes": tuple(_LANGUAGES),
        "legacy_behaviour": (False, True),
    }
    special = {"bos_token": _START_PIECE, "pad_token": PADDING_PIECE}
    special |= {"eos_token": END_PIECE, "unk_token": UNKNOWN_PIECE}
    known |= {name: (piece,) for name, piece in special.items()}
    for name, values in known.items():
        value = settings.get(name, values[0])
        value = content_of(value) if name in special else value
        if not isinstance(value, str | bool) or value not in values:
            yield f"{name} is {value!r}, only {' and '.join(map(repr, values))} is supported"
    yield from sampling_faults(settings)


def _is_nllb(folder: Path, settings: Mapping[str, Any]) -> bool:
    name = settings.get("tokenizer_class")
    return not (folder / _VOCABULARY_NAME).is_file() if name is None else _CLASSES[name]


def _m2m_100(folder: Path, model: bytes, settings: Mapping[str, Any]) -> _Pieces:
    """Languages stand behind the pieces of vocab.json."""
    texts = read_vocabulary(folder / _VOCABULARY_NAME)
    check_cover(folder / _MODEL_NAME, model, texts)
    table = _LANGUAGES[settings.get("language_codes", "m2m100")]
    marks = {ours: f"__{theirs}__" for theirs, ours in table.items()}
    return _Pieces(all=(*texts, *marks.values()), of_languages=marks)


def _nllb(model: bytes) -> _Pieces:
    """Ids are one above those of the SentencePiece file; behind them stand the languages and the mask."""
    texts = pieces_of(model)[_OWN_SPECIAL:]
    of_languages = {ours: theirs for theirs, ours in NLLB_200.items()}
    return _Pieces(all=(*_FIRST_PIECES, *texts, *NLLB_200, _MASK_PIECE), of_languages=of_languages)


def _id_faults(pieces: Sequence[str], options: TransformersOptions) -> Iterator[str]:
    if not 0 <= options.target_vocabulary - len(pieces) <= _MAX_UNUSED:
        yield f"the tokenizer has {len(pieces)} pieces, the model {options.target_vocabulary}"
    else:
        yield from id_faults(pieces, options)


def _added_faults(folder: Path, settings: Mapping[str, Any], pieces: Sequence[str]) -> Iterator[str]:
    """Tokens that files add must be those that the model has anyway, each at its id."""
    ids = {piece: i for i, piece in enumerate(pieces)}
    for content, i in added_tokens(folder, settings).items():
        if content not in ids:
            yield f"it adds the token {content}, only those of the vocabulary are supported"
        elif ids[content] != i:
            yield f"the token {content} has the id {i!r}, must have {ids[content]}"


def _chosen(of_languages: Mapping[str, str], asked: str | None) -> dict[str, str]:
    """The languages' pieces by our codes."""
    if asked is None:
        return dict(of_languages)
    aliases = {piece.replace("_", "-"): ours for ours, piece in of_languages.items()}
    codes = [aliases.get(code, code) for code in language_codes(asked)]
    if unknown := [code for code in codes if code not in of_languages]:
        raise ForeignModelError(
            f"the model has no language {', '.join(unknown)}, only {', '.join(sorted(of_languages))}"
        )
    return {code: of_languages[code] for code in codes}
