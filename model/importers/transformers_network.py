"""Our Transformer of a folder in the layout of Transformers, with its tokenizer: Marian's or M2M-100's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from model.checkpoint import load_weights
from model.importers.errors import named
from model.importers.imported_model import ImportedModel
from model.importers.json_file import read_json
from model.importers.transformers_options import CONFIG_NAME, Kind, TransformersOptions, read_options
from model.importers.transformers_search import TransformersSearch, search_of
from model.importers.transformers_tensors import weights_of
from model.importers.weight_files import read_weights, weight_file
from model.networks.config import TransformerConfig
from model.networks.transformer import Transformer
from model.text.tokenizer import Tokenizer

_NORM_EPSILON = 1e-5

Languages = tuple[str, str] | None
TokenizerReader = Callable[[Path, TransformersOptions, Languages], Tokenizer]


def import_transformers(
    folder: Path, kind: Kind, read_tokenizer: TokenizerReader, languages: Languages
) -> ImportedModel:
    """A model in evaluation mode that computes what Transformers does, and its tokenizer.

    Args:
        kind: What the folder's configuration must say that it is.
        read_tokenizer: Reads the folder's tokenizer, for the network and the languages.
        languages: As the reader takes them.

    Raises:
        ForeignModelError: A file is missing or damaged, or the model is not of the supported kind.
    """
    fields = read_json(folder / CONFIG_NAME)
    options = named(folder / CONFIG_NAME, lambda: read_options(fields, kind))
    search = search_of(folder, fields, options)
    tokenizer = read_tokenizer(folder, options, languages)
    path = weight_file(folder)
    tensors = read_weights(path)
    weights = named(path, lambda: weights_of(tensors, options))
    if search.suppressed:
        bias = weights.setdefault("output.bias", torch.zeros(options.target_vocabulary))
        bias[list(search.suppressed)] = -torch.inf
    model = Transformer(named(folder / CONFIG_NAME, lambda: _config(options, search, tokenizer)))
    load_weights(model, weights)
    return ImportedModel(model=model.eval(), tokenizer=tokenizer)


def _config(
    options: TransformersOptions, search: TransformersSearch, tokenizer: Tokenizer
) -> TransformerConfig:
    return TransformerConfig(
        vocabulary_size=options.target_vocabulary,
        source_vocabulary_size=None if options.has_one_table else options.source_vocabulary,
        model_size=options.model,
        num_heads=options.heads,
        feed_forward_size=options.feed_forward,
        num_encoder_layers=options.encoder_layers,
        num_decoder_layers=options.decoder_layers,
        norm="pre" if options.is_pre_norm else "post",
        norm_epsilon=_NORM_EPSILON,
        activation=options.activation,
        position_layout="halves",
        position_denominator=options.position_denominator,
        first_position=options.first_position,
        scale_embeddings=options.scale_embeddings,
        tie_embeddings=options.ties_output,
        output_bias=options.has_output_bias or bool(search.suppressed),
        special_ids=tokenizer.special_ids,
        target_limit=search.target_limit,
        length_penalty=search.length_penalty,
    )
