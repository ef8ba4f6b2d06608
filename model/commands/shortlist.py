"""The command traghetto-shortlist."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from model.networks.config import ConfigError
from model.shortlist.learning import add_shortlist
from model.shortlist.shortlist import FILE_NAME
from model.text.parallel_text import DataError
from model.text.sentencepiece_tokenizer import FILE_NAME as TOKENIZER_NAME
from model.text.tokenizer import TokenizerError
from model.training.config import load_run_config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-shortlist",
        description="Learn the vocabulary shortlist of a checkpoint that was trained without one.",
    )
    parser.add_argument("checkpoint", type=Path, help="folder of the checkpoint, receives the shortlist")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the files that the configuration names"
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="YAML file, its data section must set shortlist_candidates"
    )
    return parser


def _learn(checkpoint: Path, data: Path, path: Path) -> None:
    config = load_run_config(path).data
    if config.shortlist_candidates == 0:
        raise ConfigError(f"{path}: data.shortlist_candidates is 0, must be at least 1")
    if not (checkpoint / TOKENIZER_NAME).is_file():
        raise TokenizerError(f"{checkpoint} has no {TOKENIZER_NAME}")
    add_shortlist(checkpoint, data, config)


def main() -> int:
    """Run the command; exit status 2 for a fault in its input."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        _learn(arguments.checkpoint, arguments.data, arguments.config)
    except (ConfigError, DataError, TokenizerError) as error:
        print(f"traghetto-shortlist: {error}", file=sys.stderr)
        return 2
    path = arguments.checkpoint / FILE_NAME
    print(f"{path}: {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
