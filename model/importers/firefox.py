"""Students of Firefox Translations and Bergamot: a folder of Marian's files becomes a model of ours.

They are Transformers whose decoder has SSRUs in place of self-attention (Kim et al. 2019), with one
SentencePiece vocabulary for both sides or one for each, mostly with int8 weights and a lexical shortlist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from model.checkpoint import load_weights
from model.importers.errors import ForeignModelError, require
from model.importers.firefox_tokenizer import read_tokenizer
from model.importers.imported_model import ImportedModel
from model.importers.languages import language_codes
from model.importers.marian_binary import read_marian_binary
from model.importers.marian_options import MarianSizes, read_options
from model.importers.marian_shortlist import read_marian_shortlist
from model.importers.marian_tensors import quantization_of, weights_of
from model.networks.config import ConfigError, TransformerConfig
from model.networks.transformer import Transformer
from model.scoring.target_limit import TargetLimit
from model.text.tokenizer import Tokenizer

_NORM_EPSILON = 1e-9
_DEFAULT_LENGTH_FACTOR = 2.0  # what Firefox sets; its models come without a file of search options
_LARGEST_LENGTH_FACTOR = 1000
_PAIR_IN_NAME = re.compile(r"model\.([a-z]{2})([a-z]{2})\.")


@dataclass(frozen=True, kw_only=True)
class _Files:
    model: Path
    vocabularies: list[Path]
    shortlist: Path | None
    search: Path | None


def import_firefox(folder: Path, languages: tuple[str, str] | None = None) -> ImportedModel:
    """Read a folder with a model, its vocabulary, perhaps a shortlist and a file of search options.

    Args:
        languages: Of source and target; None to take them from the model's name, `model.enpt.….bin`.

    Raises:
        ForeignModelError: A file is missing or damaged, or the model is not of the supported kind.
    """
    files = _files(folder)
    source, target = _one_each(languages) if languages else _languages_in(files.model)
    file = read_marian_binary(files.model)
    try:
        sizes = read_options(file.options)
        weights = weights_of(file.tensors, sizes)
        quantization = quantization_of(file.tensors, sizes)
    except ForeignModelError as error:
        raise ForeignModelError(f"{files.model}: {error}") from error
    tokenizer = read_tokenizer(files.vocabularies, (source, target), sizes)
    # Marian never lets a decoder say that it does not know.
    weights["output.bias"][tokenizer.special_ids.unknown] = -torch.inf
    model = Transformer(_config(files, sizes, tokenizer))
    load_weights(model, weights)
    imported = ImportedModel(model=model.eval(), tokenizer=tokenizer, quantization=quantization)
    if files.shortlist is None:
        return imported
    if not tokenizer.has_one_vocabulary:
        reason = f"{files.shortlist.name}: shortlists of two vocabularies are not supported"
        return replace(imported, omissions=(reason,))
    return replace(imported, shortlist=read_marian_shortlist(files.shortlist, sizes.vocabulary))


def _files(folder: Path) -> _Files:
    if not folder.is_dir():
        raise ForeignModelError(f"no folder {folder}")
    models, vocabularies = sorted(folder.glob("model*.bin")), sorted(folder.glob("*vocab*.spm"))
    pair = [
        path for prefix in ("srcvocab", "trgvocab") for path in vocabularies if path.name.startswith(prefix)
    ]
    shortlists, searches = sorted(folder.glob("lex*.bin")), sorted(folder.glob("*.yml"))
    faults = []
    if packed := sorted(path.name for path in folder.glob("*.gz")):
        faults.append(f"unpack {', '.join(packed)} first")
    for pattern, files, minimum in (
        ("model*.bin", models, 1),
        *([] if len(pair) == len(vocabularies) == 2 else [("*vocab*.spm", vocabularies, 1)]),
        ("lex*.bin", shortlists, 0),
        ("*.yml", searches, 0),
    ):
        if not minimum <= len(files) <= 1:
            names = ", ".join(path.name for path in files) or "none"
            wanted = "one file" if minimum else "at most one file"
            faults.append(f"{names} for {pattern}, must be {wanted}")
    require(faults, str(folder))
    shortlist, search = next(iter(shortlists), None), next(iter(searches), None)
    return _Files(model=models[0], vocabularies=pair or vocabularies, shortlist=shortlist, search=search)


def _languages_in(path: Path) -> tuple[str, str]:
    match = _PAIR_IN_NAME.match(path.name)
    if match is None:
        raise ForeignModelError(f"{path.name} does not name its languages: use --languages")
    return match[1], match[2]


def _one_each(languages: tuple[str, str]) -> tuple[str, str]:
    source, target = map(language_codes, languages)
    if len(source) > 1 or len(target) > 1:
        raise ForeignModelError(f"languages are {' and '.join(languages)}, must be one code for each side")
    return source[0], target[0]


def _config(files: _Files, sizes: MarianSizes, tokenizer: Tokenizer) -> TransformerConfig:
    try:
        return TransformerConfig(
            vocabulary_size=sizes.vocabulary,
            source_vocabulary_size=sizes.source_vocabulary,
            model_size=sizes.model,
            num_heads=sizes.heads,
            feed_forward_size=sizes.feed_forward,
            num_encoder_layers=sizes.encoder_layers,
            num_decoder_layers=sizes.decoder_layers,
            norm="post",
            norm_epsilon=_NORM_EPSILON,
            activation="relu",
            position_layout="halves",
            position_denominator="half_less_one",
            decoder_layer="ssru",
            start_embedding="zero",
            output_bias=True,
            special_ids=tokenizer.special_ids,
            target_limit=TargetLimit(factor=_length_factor(files.search), extra=0),
        )
    except ConfigError as error:
        raise ForeignModelError(f"{files.model}: {error}") from error


def _length_factor(path: Path | None) -> float:
    """How many times as long as its source a target may get."""
    if path is None:
        return _DEFAULT_LENGTH_FACTOR
    try:
        options: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    if not isinstance(options, Mapping):
        raise ForeignModelError(f"{path} is no mapping of options to values")
    factor = options.get("max-length-factor", _DEFAULT_LENGTH_FACTOR)
    if type(factor) not in {int, float} or not 0 < factor <= _LARGEST_LENGTH_FACTOR:
        raise ForeignModelError(
            f"{path}: max-length-factor is {factor!r}, must be above 0 and at most {_LARGEST_LENGTH_FACTOR}"
        )
    return float(factor)
