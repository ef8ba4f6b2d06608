"""A `ServerConfig` from flags and environment variables, and what each of them is, for a reader."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any

from server.config import (
    Option,
    ServerConfig,
    ServerConfigError,
    flag_of,
    options_of_server,
    variable_of,
)

_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")


@dataclass(frozen=True, kw_only=True)
class OptionRow:
    """What an operator reads of one option.

    Args:
        kind: HOST:PORT is a text too; of a choice all its values.
        default: As it would be written; "none" where the option is absent by default.
    """

    flag: str
    variable: str
    kind: str
    default: str
    help: str


def option_rows() -> Iterator[OptionRow]:
    """Every option of the server, in the order of its help."""
    for config_field, option in options_of_server():
        yield OptionRow(
            flag=flag_of(config_field.name),
            variable=variable_of(config_field.name),
            kind=_kind(option),
            default=_default(config_field),
            help=option.help,
        )


def parse_config(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> ServerConfig:
    """Flags, then TRAGHETTO_ variables, then defaults; artifacts may come from TRAGHETTO_ARTIFACTS.

    Raises:
        ServerConfigError: with every fault that could be found.
    """
    parsed = vars(_parser().parse_args(arguments))
    values: dict[str, Any] = {}
    names = {}
    faults = []
    for config_field, option in options_of_server():
        name = config_field.name
        if (value := parsed[name]) is None:
            if (text := environment.get(variable_of(name))) is None:
                continue
            names[name] = variable_of(name)
            try:
                value = _from_text(text, option, variable_of(name))
            except ServerConfigError as error:
                faults.append(str(error))
        values[name] = None if option.may_be_none and not value else value
    if faults:
        raise ServerConfigError("; ".join(faults))
    listed = [Path(p) for p in environment.get("TRAGHETTO_ARTIFACTS", "").split(os.pathsep) if p]
    return ServerConfig(artifacts=tuple(parsed["artifacts"] or listed), names=names, **values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-serve",
        description="Serve translation models over gRPC. Every flag has a variable, --max-queue for "
        "example TRAGHETTO_MAX_QUEUE; a flag wins.",
    )
    parser.add_argument(
        "artifacts",
        nargs="*",
        type=Path,
        help=f"model folders (or TRAGHETTO_ARTIFACTS, separated by {os.pathsep!r})",
    )
    for config_field, option in options_of_server():
        flag = flag_of(config_field.name)
        if option.kind is bool:
            parser.add_argument(flag, action="store_true", default=None, help=option.help)
        else:
            note = f"{option.help} (default: {_default(config_field)})"
            parser.add_argument(flag, type=option.kind, choices=option.choices, help=note)
    return parser


def _default(config_field: Field[Any]) -> str:
    if config_field.default is None:
        return "none"
    return "off" if config_field.default is False else str(config_field.default)


def _kind(option: Option) -> str:
    if option.choices:
        return ", ".join(option.choices)
    return {bool: "switch", float: "number", int: "whole number", str: "text"}[option.kind]


def _from_text(text: str, option: Option, variable: str) -> Any:
    """The value that an environment variable holds.

    Raises:
        ServerConfigError: it is no value of the option's type.
    """
    if option.kind is bool:
        if text.lower() not in (*_TRUE, *_FALSE):
            raise ServerConfigError(f"{variable} is {text!r}, must be one of {', '.join(_TRUE + _FALSE[:3])}")
        return text.lower() in _TRUE
    try:
        return option.kind(text)
    except ValueError as error:
        raise ServerConfigError(f"{variable} is {text!r}, must be a number") from error
