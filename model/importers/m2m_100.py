"""M2M-100 and NLLB-200 as Transformers has them: a folder of an M2M100ForConditionalGeneration becomes ours.

They are Transformers with pre-norm that translate between all of their languages: a source says which it is
in, and every target begins with its own.
"""

from __future__ import annotations

from pathlib import Path

import torch

from model.checkpoint import load_weights
from model.importers.errors import named
from model.importers.imported_model import ImportedModel
from model.importers.json_file import read_json
from model.importers.m2m_100_tokenizer import read_tokenizer
from model.importers.transformers_options import CONFIG_NAME, TransformersOptions, read_options
from model.importers.transformers_search import TransformersSearch, search_of
from model.importers.transformers_tensors import weights_of
from model.importers.weight_files import read_weights, weight_file
from model.networks.config import TransformerConfig
from model.networks.transformer import Transformer
from model.text.tokenizer import Tokenizer

_NORM_EPSILON = 1e-5


def import_m2m_100(folder: Path, languages: tuple[str, str] | None = None) -> ImportedModel:
    """Read a folder of an M2M100ForConditionalGeneration and its tokenizer.

    Args:
        languages: Codes of sources and targets, several with commas between them; None for all.

    Raises:
        ForeignModelError: A file is missing or damaged, or the model is not of the supported kind.
    """
    fields = read_json(folder / CONFIG_NAME)
    options = named(folder / CONFIG_NAME, lambda: read_options(fields, "m2m_100"))
    search = search_of(folder, fields, options)
    tokenizer = read_tokenizer(folder, options, languages)
    path = weight_file(folder)
    tensors = read_weights(path)
    weights = named(path, lambda: weights_of(tensors, options))
    if search.suppressed:
        weights["output.bias"] = torch.zeros(options.target_vocabulary)
        weights["output.bias"][list(search.suppressed)] = -torch.inf
    model = Transformer(named(folder / CONFIG_NAME, lambda: _config(options, search, tokenizer)))
    load_weights(model, weights)
    return ImportedModel(model=model.eval(), tokenizer=tokenizer)


def _config(
    options: TransformersOptions, search: TransformersSearch, tokenizer: Tokenizer
) -> TransformerConfig:
    return TransformerConfig(
        vocabulary_size=options.target_vocabulary,
        model_size=options.model,
        num_heads=options.heads,
        feed_forward_size=options.feed_forward,
        num_encoder_layers=options.encoder_layers,
        num_decoder_layers=options.decoder_layers,
        norm="pre",
        norm_epsilon=_NORM_EPSILON,
        activation=options.activation,
        position_layout="halves",
        position_denominator="half_less_one",
        first_position=options.padding + 1,
        scale_embeddings=options.scale_embeddings,
        output_bias=bool(search.suppressed),
        special_ids=tokenizer.special_ids,
        target_limit=search.target_limit,
        length_penalty=search.length_penalty,
    )
