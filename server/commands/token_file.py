"""The flags by which a command says who calls, and the token that they name."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from traghetto import TokenError
from traghetto.token import Token

TOKEN_VARIABLE = "TRAGHETTO_TOKEN"  # noqa: S105 - its name


def add_token_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --token-file and --allow-plaintext-token."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"holds the token for a server that asks who calls (default: the variable {TOKEN_VARIABLE})",
    )
    parser.add_argument(
        "--allow-plaintext-token",
        action="store_true",
        help="send the token without TLS to another machine too",
    )


def make_token(parsed: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Token | None:
    """The token of the calls: a file's, read again when it is refused, else the variable's; or None."""
    path: Path | None = parsed.token_file
    return environment.get(TOKEN_VARIABLE) or None if path is None else lambda: _token_of(path)


def _token_of(path: Path) -> str:
    """A file's token.

    Raises:
        TokenError: it cannot be read, or anybody can read it.
    """
    try:
        if (mode := stat.S_IMODE(path.stat().st_mode)) & stat.S_IROTH:
            raise TokenError(f"{path} has mode {mode:04o}, and can be read by anybody: chmod o= {path}")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}") from error
