"""M2M-100 and NLLB-200 as Transformers has them: a folder of an M2M100ForConditionalGeneration becomes ours.

They are Transformers with pre-norm that translate between all of their languages: a source says which it is
in, and every target begins with its own.
"""

from __future__ import annotations

from pathlib import Path

from model.importers.imported_model import ImportedModel
from model.importers.m2m_100_tokenizer import read_tokenizer
from model.importers.transformers_network import import_transformers


def import_m2m_100(folder: Path, languages: tuple[str, str] | None = None) -> ImportedModel:
    """Read a folder of an M2M100ForConditionalGeneration and its tokenizer.

    Args:
        languages: Codes of sources and targets, several with commas between them; None for all.

    Raises:
        ForeignModelError: A file is missing or damaged, or the model is not of the supported kind.
    """
    return import_transformers(folder, "m2m_100", read_tokenizer, languages)
