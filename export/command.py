"""The command traghetto-export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from export.artifact import build_artifact
from export.contract.manifest import PROOF_NAME
from export.graphs.to_onnx import ExportError
from export.limits import Limits
from export.precisions import PRECISIONS, SHORTLIST_PRECISIONS
from export.proof.checks import ProofError
from export.proof.sentences import LanguagePair, Pairs, translated
from model.checkpoint import CheckpointError, load_checkpoint
from model.networks.config import ConfigError
from model.networks.encoder_decoder import EncoderDecoder
from model.quantization import QuantizationError, load_quantization
from model.shortlist.shortlist import FILE_NAME as SHORTLIST_NAME
from model.shortlist.shortlist import Shortlist, ShortlistError
from model.text.parallel_text import DataError, numbered_lines, read_pairs
from model.text.tokenizer import Tokenizer, TokenizerError, listed_directions

_MAX_BLEU_LOSS = 0.5
_INPUT_FAULTS = (CheckpointError, ConfigError, DataError, QuantizationError, ShortlistError, TokenizerError)
_MAX_PROVEN = 4  # directions with --sources: they take the same graphs and weights, and a proof minutes
# Against its own fp32 text every other word counts as a loss, also one that is as good.
_MAX_OWN_BLEU_LOSS = 10.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-export",
        description="Export a checkpoint to an ONNX artifact, prove that it translates alike, and write it. "
        f"A vocabulary shortlist of the checkpoint comes along in {' and '.join(SHORTLIST_PRECISIONS)}.",
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--output", type=Path, required=True, help="the artifact's folder; its name is the model's name"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    proof = parser.add_mutually_exclusive_group()
    proof.add_argument(
        "--sentences",
        nargs="+",
        action="append",
        metavar=("FILE", "LANGUAGE"),
        help="tab-separated pairs for the proof (default: the checkpoint's sentences.tsv), and the languages "
        "of its columns (default: the model's, if it has two); once for each pair of languages",
    )
    proof.add_argument(
        "--sources",
        nargs="+",
        metavar=("FILE", "LANGUAGE"),
        help="one text a line, for a proof without references: the model's own fp32 translations, into each "
        f"of its target languages or {_MAX_PROVEN} of them, take their place; and their language, where the "
        "model translates out of several. The artifact serves all of the model's languages",
    )
    parser.add_argument(
        "--max-bleu-loss",
        type=float,
        help="refuse fp16 or int8 that loses more against fp32 (default: "
        f"{_MAX_BLEU_LOSS}, or {_MAX_OWN_BLEU_LOSS} with --sources)",
    )
    parser.add_argument("--max-source-tokens", type=int, default=Limits.max_source_tokens)
    parser.add_argument("--max-target-tokens", type=int, default=Limits.max_target_tokens)
    return parser


def _translated(
    path: Path, model: EncoderDecoder, tokenizer: Tokenizer, languages: Sequence[str] = ()
) -> dict[LanguagePair, Pairs]:
    """What `--sources` names, beside the model's own translations.

    Raises:
        DataError: no such file, a line with a tab, or a language that is missing or that the model lacks.
    """
    directions = _proven_directions(languages, tokenizer)
    lines = list(numbered_lines(path))
    if tabs := [number for number, line in lines if "\t" in line]:
        raise DataError(f"{path}, line {tabs[0]}: has a tab; pairs are for --sentences")
    texts = [line for _, line in lines if line.strip()]
    return {pair: translated(model, tokenizer, texts, pair) for pair in directions}


def _proven_directions(languages: Sequence[str], tokenizer: Tokenizer) -> list[LanguagePair]:
    """Out of the language of the texts, into target languages spread over all of them."""
    directions = tokenizer.directions
    sources, targets = ({pair[side] for pair in directions} for side in (0, 1))
    if len(languages) > 1 or (languages and languages[0] not in sources):
        known = ", ".join(sorted(sources))
        raise DataError(f"--sources {' '.join(languages)}: must be a file and one of the languages {known}")
    if languages:
        directions = tuple(pair for pair in directions if pair[0] == languages[0])
    elif sources & targets:
        known = listed_directions(directions)
        raise DataError(
            "--sources needs a model that never translates into a language of its sources, this one has "
            f"{known}: use --sentences, or name the language of the texts"
        )
    count = len(directions)
    num_proven = min(_MAX_PROVEN, count)
    return [directions[i * count // num_proven] for i in range(num_proven)]


def _pairs(given: list[list[str]] | None, checkpoint: Path) -> Pairs | dict[LanguagePair, Pairs]:
    """What `--sentences` names.

    Raises:
        DataError: a file without languages beside others, or with other than two of them, or no file.
    """
    if given is None:
        return read_pairs(checkpoint / "sentences.tsv")
    if len(given) == 1 and len(given[0]) == 1:
        return read_pairs(Path(given[0][0]))
    if wrong := [" ".join(words) for words in given if len(words) != 3]:
        raise DataError(f"--sentences {wrong[0]}: must be a file and the two languages of its columns")
    return {(first, second): read_pairs(Path(path)) for path, first, second in given}


def _shortlist(checkpoint: Path, precision: str) -> Shortlist | None:
    if precision in SHORTLIST_PRECISIONS and (checkpoint / SHORTLIST_NAME).is_file():
        return Shortlist.load(checkpoint)
    return None


def main() -> int:
    """Run the command; exit status 1 if the proof refuses, 2 for a fault in its input."""
    arguments = _parser().parse_args()
    torch.set_num_threads(1)  # one sentence at a time: more threads would only wait for each other
    try:
        model, tokenizer = load_checkpoint(arguments.checkpoint)
        sources, max_bleu_loss = arguments.sources, arguments.max_bleu_loss
        if max_bleu_loss is None:
            max_bleu_loss = _MAX_OWN_BLEU_LOSS if sources else _MAX_BLEU_LOSS
        pairs = (
            _translated(Path(sources[0]), model, tokenizer, sources[1:])
            if sources
            else _pairs(arguments.sentences, arguments.checkpoint)
        )
        manifest = build_artifact(
            model,
            tokenizer,
            arguments.output,
            precision=arguments.precision,
            pairs=pairs,
            limits=Limits(
                max_source_tokens=arguments.max_source_tokens, max_target_tokens=arguments.max_target_tokens
            ),
            max_bleu_loss=max_bleu_loss,
            shortlist=_shortlist(arguments.checkpoint, arguments.precision),
            quantization=load_quantization(arguments.checkpoint),
            language_pairs=tokenizer.directions if sources else None,
        )
    except _INPUT_FAULTS as error:
        print(f"traghetto-export: {error}", file=sys.stderr)
        return 2
    except (ProofError, ExportError) as error:
        print(f"traghetto-export: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}: {manifest.precision}, sha256 {manifest.digest()}")
    if isinstance(pairs, dict) and len(pairs) < len(manifest.language_pairs):
        proven = listed_directions(list(pairs))
        print(f"proven on {proven} of its {len(manifest.language_pairs)} pairs of languages")
    print((arguments.output / PROOF_NAME).read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
