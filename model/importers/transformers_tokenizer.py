"""What the tokenizers' files of Transformers say, whichever model they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.importers.json_file import read_json
from model.importers.transformers_options import TransformersOptions
from model.text.piece_map import END_PIECE

TOKENIZER_NAME = "tokenizer_config.json"
PADDING_PIECE = "<pad>"
_ADDED_NAME = "added_tokens.json"


def read_settings(folder: Path) -> dict[str, Any]:
    """Read tokenizer_config.json, without which all is as Transformers has it.

    Raises:
        ForeignModelError: It is damaged.
    """
    path = folder / TOKENIZER_NAME
    return read_json(path) if path.is_file() else {}


def content_of(token: object) -> object:
    """The token that a description is of; one without a description is itself."""
    return token.get("content") if isinstance(token, dict) else token


def sampling_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is asked of SentencePiece besides cutting a text into pieces."""
    if settings.get("sp_model_kwargs"):
        yield f"sp_model_kwargs is {settings['sp_model_kwargs']!r}, only an empty one is supported"


def id_faults(pieces: Sequence[str], options: TransformersOptions) -> Iterator[str]:
    """Ids that are of other pieces in the vocabulary than in the network's configuration."""
    for name, i, piece in (
        ("eos_token_id", options.end, END_PIECE),
        ("pad_token_id", options.padding, PADDING_PIECE),
    ):
        there = pieces[i] if i < len(pieces) else None
        if there != piece:
            yield f"{name} is {i}, which is {there!r} in the vocabulary and must be {piece!r}"


def added_tokens(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tokens that files add to the vocabulary, and their ids, or what stands in the place of one.

    Raises:
        ForeignModelError: added_tokens.json is damaged.
    """
    path = folder / _ADDED_NAME
    added = read_json(path) if path.is_file() else {}
    described = settings.get("added_tokens_decoder")
    for i, token in described.items() if isinstance(described, dict) else ():
        is_id = i.isascii() and i.isdecimal() and len(i) < 10
        added[str(content_of(token))] = int(i) if is_id else i
    return added
