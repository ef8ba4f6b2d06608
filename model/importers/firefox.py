"""Students of Firefox Translations and Bergamot: a folder of Marian's files becomes a model of ours.

They are Transformers whose decoder has SSRUs in place of self-attention (Kim et al. 2019), with one
SentencePiece vocabulary for both sides or one for each, mostly with int8 weights and a lexical shortlist.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.importers.errors import ForeignModelError, named, require
from model.importers.firefox_tokenizer import one_or_pair, read_tokenizer
from model.importers.imported_model import ImportedModel
from model.importers.languages import languages_in_name, one_each
from model.importers.marian_binary import read_marian_binary
from model.importers.marian_network import build_marian
from model.importers.marian_options import read_options
from model.importers.marian_search import length_factor, read_yaml
from model.importers.marian_shortlist import with_shortlist
from model.importers.marian_tensors import quantization_of, weights_of
from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY
from model.scoring.target_limit import TargetLimit

_DEFAULT_LENGTH_FACTOR = 2.0  # what Firefox sets; its models come without a file of search options


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
    languages = one_each(languages) if languages else languages_in_name(files.model)
    file = read_marian_binary(files.model)
    network = named(files.model, lambda: read_options(file.options, is_student=True))
    weights = named(files.model, lambda: weights_of(file.tensors, network))
    quantization = named(files.model, lambda: quantization_of(file.tensors, network))
    tokenizer = read_tokenizer(files.vocabularies, languages, network)
    limit = TargetLimit(factor=_length_factor(files.search), extra=0)
    model = build_marian(files.model, network, weights, tokenizer, limit, DEFAULT_LENGTH_PENALTY)
    imported = ImportedModel(model=model, tokenizer=tokenizer, quantization=quantization)
    return with_shortlist(imported, files.shortlist)


def _files(folder: Path) -> _Files:
    if not folder.is_dir():
        raise ForeignModelError(f"no folder {folder}")
    models, vocabularies = sorted(folder.glob("model*.bin")), sorted(folder.glob("*vocab*.spm"))
    chosen = one_or_pair(vocabularies)
    shortlists, searches = sorted(folder.glob("lex*.bin")), sorted(folder.glob("*.yml"))
    faults = []
    if packed := sorted(path.name for path in folder.glob("*.gz")):
        faults.append(f"unpack {', '.join(packed)} first")
    for pattern, files, minimum in (
        ("model*.bin", models, 1),
        *([] if chosen else [("*vocab*.spm", vocabularies, 1)]),
        ("lex*.bin", shortlists, 0),
        ("*.yml", searches, 0),
    ):
        if not minimum <= len(files) <= 1:
            names = ", ".join(path.name for path in files) or "none"
            wanted = "one file" if minimum else "at most one file"
            faults.append(f"{names} for {pattern}, must be {wanted}")
    require(faults, str(folder))
    shortlist, search = next(iter(shortlists), None), next(iter(searches), None)
    return _Files(model=models[0], vocabularies=chosen, shortlist=shortlist, search=search)


def _length_factor(path: Path | None) -> float:
    """How many times as long as its source a target may get."""
    if path is None:
        return _DEFAULT_LENGTH_FACTOR
    return length_factor(read_yaml(path), str(path), _DEFAULT_LENGTH_FACTOR)
