"""The command traghetto-import."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.importers.errors import ForeignModelError
from model.importers.origins import import_model
from model.text.tokenizer import listed_directions
from model.unfinished_folder import unfinished_folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-import",
        description="Make a checkpoint of a foreign model: of OPUS-MT, M2M-100 or NLLB-200 in the layout "
        "of Transformers, of Marian as it writes them, or a student of Firefox Translations or "
        "Bergamot. traghetto-export then makes an artifact of it.",
    )
    parser.add_argument(
        "model",
        type=Path,
        help="folder with config.json, weights and a tokenizer; or with an .npz, vocabularies, and perhaps "
        "decoder.yml; or with model*.bin, vocab*.spm, and perhaps lex*.bin and a .yml",
    )
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument(
        "--languages",
        nargs=2,
        metavar=("SOURCE", "TARGET"),
        help="codes of the languages (default: those of tokenizer_config.json, or in the name of "
        "model.enpt.*.bin or .npz); where one model has several, with commas between them, or * for all "
        "targets of a native Marian model",
    )
    return parser


def main() -> int:
    """Run the command; exit status 2 for a fault in its input, and then nothing is left at the output."""
    arguments = _parser().parse_args()
    languages = tuple(arguments.languages) if arguments.languages else None
    try:
        imported = import_model(arguments.model, languages)
        with unfinished_folder(arguments.output) as folder:
            imported.save(folder)
    except (ForeignModelError, OSError) as error:
        print(f"traghetto-import: {error}", file=sys.stderr)
        return 2
    config = imported.model.config
    directions = listed_directions(imported.tokenizer.directions)
    shortlist = "without a shortlist" if imported.shortlist is None else "with a shortlist"
    num_weights = sum(tensor.numel() for tensor in imported.model.parameters())
    print(
        f"{arguments.output}: {directions}, {num_weights} weights, {config.num_encoder_layers} encoder and "
        f"{config.num_decoder_layers} decoder layers of size {config.model_size}, "
        f"{config.vocabulary_size} pieces, {shortlist}"
    )
    for omission in imported.omissions:
        print(f"left out: {omission}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
