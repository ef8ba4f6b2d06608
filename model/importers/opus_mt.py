"""OPUS-MT models as Transformers has them: a folder of a MarianMTModel becomes a model of ours.

They are Transformers with post-norm, made by Marian; Transformers' formula of positions is not Marian's, and
what is computed here is what Transformers computes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from model.checkpoint import load_weights
from model.importers.errors import ForeignModelError
from model.importers.imported_model import ImportedModel
from model.importers.json_file import read_json
from model.importers.opus_mt_options import OpusMTOptions, read_options
from model.importers.opus_mt_search import OpusMTSearch, read_search
from model.importers.opus_mt_tensors import weights_of
from model.importers.opus_mt_tokenizer import read_tokenizer
from model.importers.weight_files import read_weights, weight_file
from model.networks.config import ConfigError, TransformerConfig
from model.networks.transformer import Transformer
from model.text.tokenizer import Tokenizer

CONFIG_NAME, _GENERATION_NAME = "config.json", "generation_config.json"
_NORM_EPSILON = 1e-5

T = TypeVar("T")


def import_opus_mt(folder: Path, languages: tuple[str, str] | None = None) -> ImportedModel:
    """Read a folder of a MarianMTModel and its tokenizer.

    Args:
        languages: Codes of source and target, several with commas between them. None for what
            tokenizer_config.json says, and for every target language that the vocabulary has a mark of.

    Raises:
        ForeignModelError: A file is missing or damaged, or the model is not of the supported kind.
    """
    fields = read_json(folder / CONFIG_NAME)
    options = _named(folder / CONFIG_NAME, lambda: read_options(fields))
    search = _search(folder, fields, options)
    tokenizer = read_tokenizer(folder, options, languages)
    path = weight_file(folder)
    tensors = read_weights(path)
    weights = _named(path, lambda: weights_of(tensors, options))
    weights["output.bias"][list(search.suppressed)] = -torch.inf
    model = Transformer(_named(folder / CONFIG_NAME, lambda: _config(options, search, tokenizer)))
    load_weights(model, weights)
    return ImportedModel(model=model.eval(), tokenizer=tokenizer)


def _named(path: Path, read: Callable[[], T]) -> T:
    """What a reader returns; its errors with the file's name before them."""
    try:
        return read()
    except (ForeignModelError, ConfigError) as error:
        raise ForeignModelError(f"{path}: {error}") from error


def _search(folder: Path, fields: dict[str, Any], options: OpusMTOptions) -> OpusMTSearch:
    """Of generation_config.json, or of config.json where it is not there, as in Transformers."""
    path = folder / _GENERATION_NAME
    if path.is_file():
        fields = read_json(path)
    else:
        path = folder / CONFIG_NAME
    return _named(
        path,
        lambda: read_search(
            fields, vocabulary_size=options.target_vocabulary, padding=options.padding, end=options.end
        ),
    )


def _config(options: OpusMTOptions, search: OpusMTSearch, tokenizer: Tokenizer) -> TransformerConfig:
    return TransformerConfig(
        vocabulary_size=options.target_vocabulary,
        source_vocabulary_size=None if options.has_one_table else options.source_vocabulary,
        model_size=options.model,
        num_heads=options.heads,
        feed_forward_size=options.feed_forward,
        num_encoder_layers=options.encoder_layers,
        num_decoder_layers=options.decoder_layers,
        norm="post",
        norm_epsilon=_NORM_EPSILON,
        activation=options.activation,
        position_layout="halves",
        scale_embeddings=options.scale_embeddings,
        tie_embeddings=options.ties_output,
        output_bias=True,
        special_ids=tokenizer.special_ids,
        target_limit=search.target_limit,
        length_penalty=search.length_penalty,
    )
