"""The tokenizer of an OPUS-MT model: two SentencePiece files, one or two vocabularies, and its languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.importers.errors import ForeignModelError, require
from model.importers.json_file import read_json, read_vocabulary
from model.importers.languages import language_codes, marked_targets
from model.importers.sentencepiece_file import check_cover, read_sentencepiece
from model.importers.transformers_options import TransformersOptions
from model.text.piece_map import END_PIECE, UNKNOWN_PIECE, PieceMap, is_language_mark
from model.text.piece_map_tokenizer import PieceMapTokenizer
from model.text.tokenizer import TokenizerError

_PADDING_PIECE = "<pad>"
_TOKENIZER_NAME, _ADDED_NAME = "tokenizer_config.json", "added_tokens.json"
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
    path = folder / _TOKENIZER_NAME
    settings = read_json(path) if path.is_file() else {}
    require([*_setting_faults(folder, settings, options)], str(path))
    source = target = read_vocabulary(folder / _VOCABULARY, options.source_vocabulary)
    is_separate = settings.get("separate_vocabs", False)
    if is_separate:
        target = read_vocabulary(folder / _TARGET_VOCABULARY, options.target_vocabulary)
    require([*_id_faults(target, options)], str(folder))
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
        ("pad_token", _PADDING_PIECE),
    ):
        value = settings.get(name, piece)
        if (value.get("content") if isinstance(value, dict) else value) != piece:
            yield f"{name} is {value!r}, only {piece!r} is supported"
    if settings.get("sp_model_kwargs"):
        yield f"sp_model_kwargs is {settings['sp_model_kwargs']!r}, only an empty one is supported"
    is_separate = settings.get("separate_vocabs", False)
    if type(is_separate) is not bool or (is_separate and options.has_one_table):
        yield f"separate_vocabs is {is_separate!r}, share_encoder_decoder_embeddings {options.has_one_table}"
    elif not is_separate and options.source_vocabulary != options.target_vocabulary:
        yield (
            f"separate_vocabs is False, with a vocab_size of {options.source_vocabulary} and a "
            f"decoder_vocab_size of {options.target_vocabulary}"
        )
    added = read_json(folder / _ADDED_NAME) if (folder / _ADDED_NAME).is_file() else {}
    known = {UNKNOWN_PIECE, END_PIECE, _PADDING_PIECE}
    if unknown := sorted({*added, *_added(settings.get("added_tokens_decoder"))} - known):
        yield f"it adds the tokens {', '.join(unknown)}, only those of the vocabulary are supported"


def _added(tokens: object) -> list[str]:
    """The tokens of `added_tokens_decoder`, which maps ids to descriptions."""
    if not isinstance(tokens, dict):
        return []
    return [str(token.get("content")) if isinstance(token, dict) else str(token) for token in tokens.values()]


def _id_faults(target: Sequence[str], options: TransformersOptions) -> Iterator[str]:
    for name, i, piece in (
        ("eos_token_id", options.end, END_PIECE),
        ("pad_token_id", options.padding, _PADDING_PIECE),
    ):
        if target[i] != piece:
            yield f"{name} is {i}, which is {target[i]!r} in the vocabulary and must be {piece!r}"


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
        raise ForeignModelError(f"{_TOKENIZER_NAME} has no {name}: use --languages")
    return value
