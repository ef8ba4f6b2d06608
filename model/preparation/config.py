"""What is prepared for training, and how: the section `preparation` of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from model.networks.config import ConfigError, check
from model.networks.config_file import from_fields
from model.preparation.filters import FilterConfig


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """One corpus.

    Args:
        files: Names below the data folder, as `model.preparation.readers` reads them.
        weight: How often its examples are learned from in an epoch; a part of them if it is below 1.
        joined: Share of further texts that are several of its sentences, in their order.
        max_joined: Most sentences in one of them.
        common_name: A name so frequent that others take its place, "Tom" in Tatoeba.
    """

    files: tuple[str, ...]
    weight: float = 1.0
    joined: float = 0.0
    max_joined: int = 4
    common_name: str | None = None

    def __post_init__(self) -> None:
        faults = [] if self.files else ["files names none"]
        if not 0 < self.weight < float("inf"):
            faults.append(f"weight is {self.weight}, must be above 0 and finite")
        if not 0 <= self.joined <= 1:
            faults.append(f"joined is {self.joined}, must be from 0 to 1")
        if self.max_joined < 2:
            faults.append(f"max_joined is {self.max_joined}, must be at least 2")
        check(faults, "preparation.corpora")


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """How parallel text is read, filtered and augmented for training.

    Args:
        corpora: By name.
        filters: Limits of the rules that a pair must keep.
        augment: Whether pairs are put into other forms, see `model.preparation.augment`.
        title_case: Share of pairs whose source also comes in title case, as headlines have it.
        templates: File below the data folder with pairs whose slots, {name}, {number}, {url}, {email}
            and {placeholder}, are filled anew each time; None for none.
        template_share: Texts made from templates, for each pair of the corpora.
        vocabulary_sentences: The vocabulary is learned from so many texts, in equal parts of each corpus.
        seed: Of every draw.
    """

    corpora: Mapping[str, CorpusConfig]
    filters: FilterConfig = field(default_factory=FilterConfig)
    augment: bool = True
    title_case: float = 0.015
    templates: str | None = None
    template_share: float = 0.03
    vocabulary_sentences: int = 1_000_000
    seed: int = 1

    def __post_init__(self) -> None:
        faults = [] if self.corpora else ["corpora names none"]
        faults += [
            f"{name} is {getattr(self, name)}, must be from 0 to 1"
            for name in ("title_case", "template_share")
            if not 0 <= getattr(self, name) <= 1
        ]
        if self.vocabulary_sentences < 1:
            faults.append(f"vocabulary_sentences is {self.vocabulary_sentences}, must be at least 1")
        check(faults, "preparation")


def preparation_config(fields: object) -> PreparationConfig:
    """Build it from the section of a file.

    Raises:
        ConfigError: a field is unknown or missing, or a value is impossible.
    """
    if not isinstance(fields, dict) or not isinstance(fields.get("corpora"), dict):
        raise ConfigError("preparation: needs corpora, a mapping of names to their files")
    corpora = {
        str(name): from_fields(CorpusConfig, corpus, f"preparation.corpora.{name}")
        for name, corpus in fields["corpora"].items()
    }
    filters = from_fields(FilterConfig, fields.get("filters", {}), "preparation.filters")
    return from_fields(PreparationConfig, {**fields, "corpora": corpora, "filters": filters}, "preparation")
