"""How a model is trained, on which data: frozen dataclasses that are read from one YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from model.networks.config import ConfigError, ModelConfig, below_one, check
from model.networks.config_file import from_fields, model_config
from model.preparation.config import PreparationConfig, preparation_config

_SECTIONS = ("data", "model", "training")
_OPTIONAL = ("preparation",)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which files of the data folder are read, and the languages of their columns.

    Args:
        languages: BCP-47 codes of the two columns; both directions are trained.
        train, dev: File names below the data folder: UTF-8, tab-separated, plain or .gz. A run keeps what
            is best by the mean of all dev files.
        vocabulary_size: Pieces of the joint SentencePiece vocabulary; None for that of the model that a run
            starts from.
        max_tokens: Longer sentences are left out of training (their number is printed).
        dev_sentences: How many pairs of each dev file and direction are translated at each evaluation.
        concatenated_pairs: So many further pairs are made by joining random ones, for text longer than
            the data's sentences.
        max_concatenated: Most sentences in one of them.
        shortlist_candidates: The checkpoint gets a vocabulary shortlist with at most so many likely
            translations of each source token; 0 for none.
    """

    languages: tuple[str, str]
    train: tuple[str, ...]
    dev: tuple[str, ...]
    vocabulary_size: int | None = None
    max_tokens: int = 128
    dev_sentences: int = 400
    concatenated_pairs: int = 0
    max_concatenated: int = 6
    shortlist_candidates: int = 0

    def __post_init__(self) -> None:
        faults = []
        languages = list(self.languages)  # a file may name any number
        if len(languages) != 2 or len(set(languages)) != 2:
            faults.append(f"languages is {languages}, must be two different codes")
        if not self.train:
            faults.append("train names no file")
        if not self.dev or len(set(self.dev)) < len(self.dev):
            faults.append(f"dev is {list(self.dev)}, must be one or more different files")
        if self.concatenated_pairs < 0 or self.max_concatenated < 2:
            faults.append(
                f"concatenated_pairs is {self.concatenated_pairs} and max_concatenated "
                f"{self.max_concatenated}, must be at least 0 and 2"
            )
        if self.shortlist_candidates < 0:
            faults.append(f"shortlist_candidates is {self.shortlist_candidates}, must be at least 0")
        if self.vocabulary_size is not None and self.vocabulary_size < 300:
            faults.append(f"vocabulary_size is {self.vocabulary_size}, byte fallback needs at least 300")
        check(faults, "data")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimisation.

    Args:
        batch_tokens: Source or target tokens in a batch, whichever is larger.
        learning_rate: Peak, reached after warmup_steps; then it falls with 1/sqrt(step).
        cooldown_steps: The rate falls linearly to zero over the last so many of max_steps.
        label_smoothing: Mass spread evenly over the vocabulary (section 5.4).
        average_checkpoints: The model evaluated and kept is the mean of so many snapshots.
        snapshot_steps: Steps between snapshots; one also lets a killed run resume.
        evaluate_steps: Steps between evaluations on dev.
        patience: Stop after so many evaluations without a better dev BLEU.
        precision: Of matrix products: "bf16" where the processor or GPU multiplies in it (2.5 times as fast
            for a Transformer on CPU), or "fp32" (3.5 times as fast for recurrent cells on CPU).
    """

    max_steps: int
    batch_tokens: int = 1000
    learning_rate: float = 1e-3
    warmup_steps: int = 1000
    cooldown_steps: int = 0
    label_smoothing: float = 0.1
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    average_checkpoints: int = 5
    snapshot_steps: int = 300
    evaluate_steps: int = 1500
    patience: int = 10
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: int = 1

    def __post_init__(self) -> None:
        sizes = (
            "max_steps",
            "batch_tokens",
            "warmup_steps",
            "average_checkpoints",
            "snapshot_steps",
            "evaluate_steps",
            "patience",
        )
        faults = below_one(self, sizes)
        if not self.learning_rate > 0:  # NaN is not
            faults.append(f"learning_rate is {self.learning_rate}, must be above 0")
        if not 0 <= self.cooldown_steps <= self.max_steps:
            faults.append(f"cooldown_steps is {self.cooldown_steps}, must be in [0, {self.max_steps}]")
        if self.precision not in {"bf16", "fp32"}:
            faults.append(f"precision is {self.precision!r}, must be one of bf16, fp32")
        if not 0 <= self.label_smoothing < 1:
            faults.append(f"label_smoothing is {self.label_smoothing}, must be in [0, 1)")
        check(faults, "training")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run: the data, the model and the optimisation, and how its data is prepared, if at all."""

    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    preparation: PreparationConfig | None = None

    def __post_init__(self) -> None:
        most = self.model.most_positions
        if most is not None and most < self.data.max_tokens:
            raise ConfigError(
                f"model: max_positions is {most}, must be at least data.max_tokens, {self.data.max_tokens}"
            )


def load_run_config(path: Path, initial: ModelConfig | None = None) -> RunConfig:
    """Read a run from YAML with the sections data, model and training, and perhaps preparation.

    With the last one data.train may be left out: it is then all files of the corpora.

    A file may name another beside it as its `base`: of a section that both have, the fields that it
    does not give itself are the base's.

    Args:
        initial: Of the model that the run starts from: the section model may then be left out.

    Raises:
        ConfigError: a file cannot be read, a section or field is unknown or missing, or a value is
            impossible.
    """
    sections = _read_sections(path)
    return _run_config(path, sections, initial if "model" not in sections else None)


def _run_config(path: Path, sections: dict[str, Any], initial: ModelConfig | None) -> RunConfig:
    if {*sections, *(("model",) if initial else ())} - set(_OPTIONAL) != set(_SECTIONS):
        raise ConfigError(f"{path}: needs exactly the sections {', '.join(_SECTIONS)}")
    preparation = None
    if "preparation" in sections:
        preparation = preparation_config(sections["preparation"])
        files = [name for corpus in preparation.corpora.values() for name in corpus.files]
        if isinstance(sections["data"], dict):
            sections["data"].setdefault("train", files)
    if isinstance(sections["data"], dict) and isinstance(sections["data"].get("dev"), str):
        sections["data"]["dev"] = [sections["data"]["dev"]]  # one file needs no list
    data = from_fields(DataConfig, sections["data"], "data")
    model = initial or _model_config(sections["model"] or {}, data)
    training = from_fields(TrainingConfig, sections["training"], "training")
    return RunConfig(data=data, model=model, training=training, preparation=preparation)


def _model_config(fields: object, data: DataConfig) -> ModelConfig:
    if not isinstance(fields, dict):
        raise ConfigError(f"model: is {fields!r}, must be a mapping of fields to values")
    if data.vocabulary_size is None:
        raise ConfigError("data: vocabulary_size is missing, and there is no checkpoint to take it from")
    return model_config({"vocabulary_size": data.vocabulary_size, **fields})


def _read_sections(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file's sections, with its base's; `above` are the files that it is the base of."""
    if path.resolve() in above:
        raise ConfigError(f"{path} is its own base")
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(sections, dict):
        raise ConfigError(f"{path}: needs exactly the sections {', '.join(_SECTIONS)}")
    base = sections.pop("base", None)
    if base is None:
        return sections
    inherited = _read_sections(path.parent / str(base), (*above, path.resolve()))
    for name, fields in sections.items():
        both = isinstance(fields, dict) and isinstance(inherited.get(name), dict)
        inherited[name] = {**inherited[name], **fields} if both else fields
    return inherited
