"""Native Marian models: a folder with an `.npz`, its vocabularies and search options becomes a model of ours.

So OPUS-MT was released before Transformers' layout of it. Decoders are of self-attention or of SSRUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.importers.errors import named, require
from model.importers.firefox_tokenizer import one_or_pair
from model.importers.imported_model import ImportedModel
from model.importers.marian_network import build_marian
from model.importers.marian_npz import read_marian_npz
from model.importers.marian_options import read_options
from model.importers.marian_search import MarianSearch, read_search
from model.importers.marian_shortlist import with_shortlist
from model.importers.marian_tensors import weights_of
from model.importers.marian_tokenizer import read_tokenizer

_VOCABULARY_SUFFIXES = (".yml", ".yaml", ".json", ".spm")


@dataclass(frozen=True, kw_only=True)
class _Files:
    model: Path
    vocabularies: list[Path]
    shortlist: Path | None
    search: MarianSearch


def import_marian(folder: Path, languages: tuple[str, str] | None = None) -> ImportedModel:
    """Read a folder with a native model, its vocabularies, and perhaps search options and a shortlist.

    Args:
        languages: Codes of source and target, several with commas between them, `*` for every target language
            that the vocabulary has a mark of. None to take them from the model's name, `model.enpt.….npz`.

    Raises:
        ForeignModelError: A file is missing or damaged, or the model is not of the supported kind.
    """
    files = _files(folder)
    file = read_marian_npz(files.model)
    network = named(files.model, lambda: read_options(file.options))
    weights = named(files.model, lambda: weights_of(file.tensors, network))
    tokenizer = read_tokenizer(files.model, files.vocabularies, network, languages)
    search = files.search
    model = build_marian(files.model, network, weights, tokenizer, search.target_limit, search.length_penalty)
    return with_shortlist(ImportedModel(model=model, tokenizer=tokenizer), files.shortlist)


def _files(folder: Path) -> _Files:
    """The files that the search options name, or else the only ones of their kind."""
    searches, shortlists = sorted(folder.glob("*decoder.yml")), sorted(folder.glob("lex*.bin"))
    faults = [
        f"{_listed(files)} for {pattern}, must be at most one file"
        for pattern, files in (("*decoder.yml", searches), ("lex*.bin", shortlists))
        if len(files) > 1
    ]
    require(faults, str(folder))
    search = read_search(searches[0] if searches else None)
    models = [folder / name for name in search.models] or [
        path for path in sorted(folder.glob("*.npz")) if not path.name.endswith(".optimizer.npz")
    ]
    vocabularies = [folder / name for name in search.vocabularies] or _vocabularies(folder)
    faults = [f"no {path.name}" for path in (*models, *vocabularies) if not path.is_file()]
    if len(models) != 1:
        faults.append(f"{_listed(models)} for *.npz, must be one file, or one that a decoder.yml names")
    if not vocabularies:
        faults.append("no vocabulary: none that a decoder.yml names, and not one *vocab*.yml or *vocab*.spm")
    require(faults, str(folder))
    shortlist = shortlists[0] if shortlists else None
    return _Files(model=models[0], vocabularies=vocabularies, shortlist=shortlist, search=search)


def _vocabularies(folder: Path) -> list[Path]:
    paths = [path for path in sorted(folder.glob("*vocab*")) if path.suffix in _VOCABULARY_SUFFIXES]
    return one_or_pair(paths)


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths) or "none"
