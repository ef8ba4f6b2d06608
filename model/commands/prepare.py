"""The command traghetto-prepare."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from model.networks.config import ConfigError
from model.preparation.prepare import Preparation
from model.text.parallel_text import DataError
from model.text.tokenizer import TokenizerError
from model.training.config import load_run_config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-prepare",
        description="Filter, augment and tokenize parallel text once, for any number of trainings.",
    )
    parser.add_argument(
        "config", type=Path, help="YAML file with a section `preparation`, see model/configs/"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the files that it names")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="folder for the shards, the --data of traghetto-train; a tokenizer.model in it is used",
    )
    return parser


def _preparation(config: Path, data: Path, output: Path) -> Preparation:
    run = load_run_config(config)
    if run.preparation is None:
        raise ConfigError(f"{config} has no section preparation")
    return Preparation(
        config=run.preparation,
        languages=run.data.languages,
        vocabulary_size=run.model.vocabulary_size,
        max_tokens=run.data.max_tokens,
        data=data,
        output=output,
        dev=run.data.dev,
    )


def main() -> int:
    """Run the command; exit status 2 for a fault in its input."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        _preparation(arguments.config, arguments.data, arguments.output).run()
    except (ConfigError, DataError, TokenizerError) as error:
        print(f"traghetto-prepare: {error}", file=sys.stderr)
        return 2
    print(f"prepared {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
