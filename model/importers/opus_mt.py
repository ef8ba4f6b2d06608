"""OPUS-MT models as Transformers has them: a folder of a MarianMTModel becomes a model of ours.

They are Transformers with post-norm, made by Marian; Transformers' formula of positions is not Marian's, and
what is computed here is what Transformers computes.
"""

from __future__ import annotations

from pathlib import Path

from model.importers.imported_model import ImportedModel
from model.importers.opus_mt_tokenizer import read_tokenizer
from model.importers.transformers_network import import_transformers


def import_opus_mt(folder: Path, languages: tuple[str, str] | None = None) -> ImportedModel:
    """Read a folder of a MarianMTModel and its tokenizer.

    Args:
        languages: Codes of source and target, several with commas between them. None for what
            tokenizer_config.json says, and for every target language that the vocabulary has a mark of.

    Raises:
        ForeignModelError: A file is missing or damaged, or the model is not of the supported kind.
    """
    return import_transformers(folder, "marian", read_tokenizer, languages)
