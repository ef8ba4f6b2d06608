"""The command traghetto-import."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.importers.errors import ForeignModelError
from model.importers.firefox import import_firefox
from model.unfinished_folder import unfinished_folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-import",
        description="Make a checkpoint of a foreign model, a student of Firefox Translations or "
        "Bergamot. traghetto-export then makes an artifact of it.",
    )
    parser.add_argument(
        "model", type=Path, help="folder with model*.bin, vocab*.spm, and perhaps lex*.bin and a .yml"
    )
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument(
        "--languages",
        nargs=2,
        metavar=("SOURCE", "TARGET"),
        help="codes of the languages (default: those in the name of model.enpt.*.bin)",
    )
    return parser


def main() -> int:
    """Run the command; exit status 2 for a fault in its input, and then nothing is left at the output."""
    arguments = _parser().parse_args()
    languages = tuple(arguments.languages) if arguments.languages else None
    try:
        imported = import_firefox(arguments.model, languages)
        with unfinished_folder(arguments.output) as folder:
            imported.save(folder)
    except (ForeignModelError, OSError) as error:
        print(f"traghetto-import: {error}", file=sys.stderr)
        return 2
    config, direction = imported.model.config, "-".join(imported.tokenizer.languages)
    shortlist = "without a shortlist" if imported.shortlist is None else "with a shortlist"
    num_weights = sum(tensor.numel() for tensor in imported.model.parameters())
    print(
        f"{arguments.output}: {direction}, {num_weights} weights, {config.num_encoder_layers} encoder and "
        f"{config.num_decoder_layers} decoder layers of size {config.model_size}, "
        f"{config.vocabulary_size} pieces, {shortlist}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
