"""Configurations as mappings, such as YAML and JSON hold, to frozen dataclasses and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar, get_origin, get_type_hints

from model.networks.config import ARCHITECTURES, ConfigError, ModelConfig, check
from model.scoring.length_penalty import LengthPenalty
from model.scoring.target_limit import TargetLimit
from model.text.special_ids import SpecialIds

T = TypeVar("T")
_NESTED: dict[str, type[Any]] = {
    "special_ids": SpecialIds,
    "target_limit": TargetLimit,
    "length_penalty": LengthPenalty,
}
# Fields that came later: at their defaults they are left out of files, so that older checkpoints keep their
# hashes.
_LATER = frozenset(
    {
        "special_ids",
        "target_limit",
        "norm_epsilon",
        "position_layout",
        "position_denominator",
        "first_position",
        "decoder_layer",
        "start_embedding",
        "output_bias",
        "source_vocabulary_size",
        "scale_embeddings",
        "length_penalty",
    }
)


def from_fields(kind: type[T], fields: object, where: str) -> T:
    """Build a dataclass from the fields of a file; a list becomes a tuple.

    Args:
        kind: The dataclass.
        fields: A mapping of field names to values.
        where: Opens an error's message: the section that the fields stand in.

    Raises:
        ConfigError: a field is unknown or missing, or a value is impossible; faults of one kind are listed.
    """
    if not isinstance(fields, dict):
        raise ConfigError(f"{where}: is {fields!r}, must be a mapping of fields to values")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(fields) - known):
        raise ConfigError(f"{where}: unknown field {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    check(_type_faults(kind, values), where)
    try:
        return kind(**values)
    except ConfigError:
        raise  # it says where
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _type_faults(kind: type, values: dict[str, Any]) -> list[str]:
    """YAML reads 1e-3 as text and a lone name as a string: say so instead of failing later."""
    wanted = {
        int: ("a whole number", (int,)),
        float: ("a number, such as 1.0e-3", (int, float)),
        bool: ("true or false", (bool,)),
    }
    faults = []
    for name, hint in get_type_hints(kind).items():
        described, types = wanted.get(hint, ("a list", (tuple,)) if get_origin(hint) is tuple else ("", ()))
        if name in values and types and type(values[name]) not in types:
            faults.append(f"{name} is {values[name]!r}, must be {described}")
    return faults


def model_config(fields: dict[str, Any]) -> ModelConfig:
    """Build a model's configuration from the fields of a configuration file.

    Args:
        fields: `architecture` says which of `ARCHITECTURES`; without it a Transformer is meant.

    Raises:
        ConfigError: a field is unknown or missing, or a value is impossible.

    >>> model_config({"architecture": "recurrent", "vocabulary_size": 600, "cell": "gru"}).cell
    'gru'
    """
    name = fields.get("architecture", "transformer")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ConfigError(f"model: architecture is {name!r}, must be one of {', '.join(ARCHITECTURES)}")
    nested = {
        field: from_fields(kind, fields[field], f"model.{field}")
        for field, kind in _NESTED.items()
        if field in fields
    }
    return from_fields(ARCHITECTURES[name], {**fields, **nested}, "model")


def to_fields(config: Any) -> dict[str, Any]:
    """A configuration's fields, nested dataclasses as mappings; later ones unless they are the default."""
    defaults = {field.name: field.default for field in dataclasses.fields(config) if field.name in _LATER}
    fields = dataclasses.asdict(config)
    return {
        name: value
        for name, value in fields.items()
        if name not in defaults or getattr(config, name) != defaults[name]
    }


def to_json(config: Any) -> str:
    """A configuration as indented JSON, its fields as `to_fields` gives them."""
    return json.dumps(to_fields(config), indent=2, ensure_ascii=False) + "\n"
