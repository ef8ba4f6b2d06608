"""The tokenizer of an OPUS-MT model: two SentencePiece files, one or two vocabularies, and its languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.importers.errors import ForeignModelError, require
from model.importers.json_file import read_vocabulary
from model.importers.languages import language_codes, marked_targets
from model.importers.sentencepiece_file import check_cover, read_sentencepiece
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
from model.text.piece_map import END_PIECE, UNKNOWN_PIECE, PieceMap, is_language_mark
from model.text.piece_map_tokenizer import PieceMapTokenizer
from model.text.tokenizer import TokenizerError

_SOURCE_MODEL, _TARGET_MODEL = "source.spm", "target.spm"
_VOCABULARY, _TARGET_VOCABULARY = "vocab.json", "target_vocab.json"


def read_tokenizer(
    folder: Path, options: TransformersOptions, languages: tuple[str, str] | None
) -> PieceMapTokenizer:
    """Read a folder's tokenizer.

    Args:
        languages: Codes of source and target, several with commas between them; None for what the files say.

    Raises:
        ForeignModelError: A file is missing or damaged, the files do not fit each other or the network, or no
            file says the languages.
    """
    settings = read_settings(folder)
    require([*_setting_faults(folder, settings, options)], str(folder / TOKENIZER_NAME))
    source = target = read_vocabulary(folder / _VOCABULARY, options.source_vocabulary)
    is_separate = settings.get("separate_vocabs", False)
    if is_separate:
        target = read_vocabulary(folder / _TARGET_VOCABULARY, options.target_vocabulary)
    require([*id_faults(target, options)], str(folder))
    models = tuple(read_sentencepiece(folder / name) for name in (_SOURCE_MODEL, _TARGET_MODEL))
    check_cover(folder / _SOURCE_MODEL, models[0], source)
    check_cover(folder / _TARGET_MODEL, models[1], target)
    sources, marks = _languages(settings, source, languages)
    try:
        pieces = PieceMap(
            source_languages=sources,
            target_languages=marks,
            source_pieces=source,
            target_pieces=target if is_separate else None,
            padding=options.padding if options.padding < options.source_vocabulary else options.end,
            start=options.start,
        )
        return PieceMapTokenizer(pieces, *models)
    except TokenizerError as error:
        raise ForeignModelError(f"{folder}: {error}") from error


def _setting_faults(folder: Path, settings: Mapping[str, Any], options: TransformersOptions) -> Iterator[str]:
    for name, piece in (
        ("unk_token", UNKNOWN_PIECE),
        ("eos_token", END_PIECE),
        ("pad_token", PADDING_PIECE),
    ):
        value = settings.get(name, piece)
        if content_of(value) != piece:
            yield f"{name} is {value!r}, only {piece!r} is supported"
    yield from sampling_faults(settings)
    is_separate = settings.get("separate_vocabs", False)
    if type(is_separate) is not bool or (is_separate and options.has_one_table):
        yield f"separate_vocabs is {is_separate!r}, share_encoder_decoder_embeddings {options.has_one_table}"
    elif not is_separate and options.source_vocabulary != options.target_vocabulary:
        yield (
            f"separate_vocabs is False, with a vocab_size of {options.source_vocabulary} and a "
            f"decoder_vocab_size of {options.target_vocabulary}"
        )
    known = {UNKNOWN_PIECE, END_PIECE, PADDING_PIECE}
    if unknown := sorted(added_tokens(folder, settings).keys() - known):
        yield f"it adds the tokens {', '.join(unknown)}, only those of the vocabulary are supported"


def _languages(
    settings: Mapping[str, Any], source_pieces: Sequence[str], languages: tuple[str, str] | None
) -> tuple[tuple[str, ...], dict[str, str | None]]:
    """The source languages, and by each target language its mark."""
    if languages is not None:
        return language_codes(languages[0]), marked_targets(source_pieces, languages[1])
    sources = language_codes(_stated(settings.get("source_lang"), "source_lang"))
    if any(map(is_language_mark, source_pieces)):
        return sources, marked_targets(source_pieces, None)
    return sources, marked_targets(source_pieces, _stated(settings.get("target_lang"), "target_lang"))


def _stated(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ForeignModelError(f"{TOKENIZER_NAME} has no {name}: use --languages")
    return value
