"""Who made a foreign model: its folder's files say so."""

from __future__ import annotations

from pathlib import Path

from model.importers.errors import ForeignModelError
from model.importers.firefox import import_firefox
from model.importers.imported_model import ImportedModel
from model.importers.json_file import read_json
from model.importers.m2m_100 import import_m2m_100
from model.importers.marian import import_marian
from model.importers.opus_mt import import_opus_mt
from model.importers.transformers_options import CONFIG_NAME


def import_model(folder: Path, languages: tuple[str, str] | None = None) -> ImportedModel:
    """Read a folder of a model that was made elsewhere.

    Args:
        languages: Codes of source and target, several with commas between them; None for what the files say.

    Raises:
        ForeignModelError: It is of no kind that is known, or the one that it is refuses it.
    """
    if not folder.is_dir():
        raise ForeignModelError(f"no folder {folder}")
    if (folder / CONFIG_NAME).is_file():
        return _of_transformers(folder, languages)
    if any(folder.glob("*.npz")):
        return import_marian(folder, languages)
    if not any(folder.glob("model*.bin*")):
        raise ForeignModelError(
            f"{folder} has neither {CONFIG_NAME}, as Transformers, nor an .npz, as Marian, nor model*.bin, "
            "as Firefox"
        )
    return import_firefox(folder, languages)


def _of_transformers(folder: Path, languages: tuple[str, str] | None) -> ImportedModel:
    importers = {"marian": import_opus_mt, "m2m_100": import_m2m_100}
    kind = read_json(folder / CONFIG_NAME).get("model_type")
    if not isinstance(kind, str) or kind not in importers:
        known = " and ".join(map(repr, importers))
        raise ForeignModelError(f"{folder / CONFIG_NAME}: model_type is {kind!r}, only {known} are supported")
    return importers[kind](folder, languages)
