"""Marian's files of search options, `decoder.yml` and the like: what goes with a model, and which files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from model.importers.errors import ForeignModelError, require
from model.scoring.length_penalty import MAX_ALPHA, LengthPenalty
from model.scoring.target_limit import TargetLimit

_LARGEST_LENGTH_FACTOR = 1000
_DEFAULT_LENGTH_FACTOR = 3.0  # Marian's own
# What changes a translation and is not supported unless it says nothing. How many hypotheses to keep, and
# whether to sample, is a client's choice.
_NEUTRAL: dict[str, Any] = {
    "allow-special": False,
    "allow-unk": False,
    "force-decode": False,
    "right-left": False,
    "word-penalty": 0,
    "word-scores": False,
}


@dataclass(frozen=True, kw_only=True)
class MarianSearch:
    """What a file of search options says.

    Args:
        models, vocabularies: Names of files; none where it names none.
        target_limit: Of a translation's tokens.
        length_penalty: How scores are compared.
    """

    models: tuple[str, ...]
    vocabularies: tuple[str, ...]
    target_limit: TargetLimit
    length_penalty: LengthPenalty


def read_search(path: Path | None) -> MarianSearch:
    """Read a file of search options; None is one that says nothing, and then all is as Marian has it.

    Raises:
        ForeignModelError: It is missing or damaged, or lists every option that is impossible or not
            supported.
    """
    options = {} if path is None else read_yaml(path)
    require([*_faults(options)], str(path))
    return MarianSearch(
        models=_names(options.get("models")),
        vocabularies=_names(options.get("vocabs")),
        target_limit=TargetLimit(factor=length_factor(options, str(path), _DEFAULT_LENGTH_FACTOR), extra=0),
        length_penalty=LengthPenalty(kind="power", alpha=float(options.get("normalize", 0.0))),
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """A file of options.

    Raises:
        ForeignModelError: It is missing, damaged, or no mapping of options to values.
    """
    try:
        options: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ForeignModelError(f"cannot read {path}: {error}") from error
    if not isinstance(options, dict):
        raise ForeignModelError(f"{path} is no mapping of options to values")
    return options


def length_factor(options: Mapping[str, Any], where: str, default: float) -> float:
    """How many times as long as its source a target may get.

    Raises:
        ForeignModelError: The options say what is no such number.
    """
    factor = options.get("max-length-factor", default)
    if type(factor) not in {int, float} or not 0 < factor <= _LARGEST_LENGTH_FACTOR:
        raise ForeignModelError(
            f"{where}: max-length-factor is {factor!r}, must be above 0 and at most {_LARGEST_LENGTH_FACTOR}"
        )
    return float(factor)


def _faults(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in _NEUTRAL.items():
        there = options.get(name, value)
        if isinstance(there, bool) != isinstance(value, bool) or there != value:
            yield f"{name} is {there!r}, only {value!r} is supported"
    alpha = options.get("normalize", 0.0)
    if type(alpha) not in {int, float} or not 0 <= alpha <= MAX_ALPHA:
        yield f"normalize is {alpha!r}, must be a number from 0 to {MAX_ALPHA:g}"
    for name, numbers in (("models", (1,)), ("vocabs", (1, 2))):
        files = options.get(name)
        if files is not None and not (
            isinstance(files, list) and len(files) in numbers and all(isinstance(file, str) for file in files)
        ):
            wanted = " or ".join(map(str, numbers))
            yield f"{name} is {files!r}, must be a list of {wanted} names of files"


def _names(files: list[str] | None) -> tuple[str, ...]:
    """Without folders: those are of the machine that it was made on."""
    return tuple(PurePosixPath(file).name for file in files or ())
