"""The arguments of traghetto-bulk, and the run that they ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from server.models.machine import num_processors
from traghetto.pb.translation.v1 import translation_pb2 as pb

if TYPE_CHECKING:
    from server.bulk.run import BulkRun

_FORMATS = {".txt": "lines", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, by default the process' own; what makes no sense ends it with status 2."""
    parser = argparse.ArgumentParser(
        prog="traghetto-bulk",
        description="Translate files of rows of any size with a model in this process' own actors; killed "
        "anywhere and started again it goes on.",
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, or addresses that fsspec knows")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for a file of each block; may be an address"
    )
    parser.add_argument("--artifact", type=Path, required=True, metavar="FOLDER", help="the model")
    parser.add_argument("--source", required=True, help="language of the texts, for example en")
    parser.add_argument("--target", required=True, help="language to translate into, for example it")
    parser.add_argument(
        "--format",
        choices=tuple(dict.fromkeys(_FORMATS.values())),
        help="of the inputs (default: told by the end of their names)",
    )
    parser.add_argument(
        "--field", default="text", help="column or member that has the text (default: %(default)s)"
    )
    _add_options(parser)
    _add_machine(parser)
    parsed = parser.parse_args(arguments)
    if parsed.format is None:
        found = {_FORMATS.get(Path(name).suffix.lower()) for name in parsed.inputs}
        if len(found) > 1 or None in found:
            ends = ", ".join(_FORMATS)
            parser.error(f"inputs must end in one of {ends}, all of one format, or --format says which")
        (parsed.format,) = found
    return parsed


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--beam-size", type=_positive, metavar="N", help="1 is greedy search (default: 4)")
    parser.add_argument(
        "--segmentation",
        choices=("sentences", "lines", "none"),
        default="sentences",
        help="how texts are cut before they are translated (default: %(default)s)",
    )
    parser.add_argument(
        "--markup",
        choices=("plain", "html", "xml", "markdown"),
        default="plain",
        help="what the texts are written in (default: %(default)s)",
    )
    parser.add_argument(
        "--max-tokens", type=_positive, metavar="N", help="longest translation of a sentence, in tokens"
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    parser.add_argument(
        "--actors",
        type=_positive,
        metavar="N",
        help="processes with a model each (default: one for each processor; with cuda 1)",
    )
    parser.add_argument(
        "--block-rows",
        type=_positive,
        default=1000,
        metavar="N",
        help="rows that are written together, and done again after a kill (default: %(default)s)",
    )
    parser.add_argument(
        "--ray-address",
        default=os.environ.get("RAY_ADDRESS", "local"),
        metavar="ADDRESS",
        help="of a Ray cluster (default: RAY_ADDRESS, or else this machine alone)",
    )


def run_of(parsed: argparse.Namespace) -> BulkRun:
    """The run that the arguments ask for; imports Ray."""
    from server.bulk.blocks import located  # noqa: PLC0415 - an extra: only for those who have it
    from server.bulk.formats import format_named  # noqa: PLC0415 - likewise
    from server.bulk.run import BulkRun  # noqa: PLC0415 - likewise

    names = ("source", "target", "format", "field", "beam_size", "segmentation", "markup", "max_tokens")
    return BulkRun(
        inputs=[located(path) for path in parsed.inputs],
        output=located(parsed.output),
        artifact=parsed.artifact.absolute(),
        rows=format_named(parsed.format, parsed.field),
        config=_config(parsed).SerializeToString(),
        options={name: getattr(parsed, name) for name in names},
        device=parsed.device,
        num_actors=parsed.actors or (1 if parsed.device == "cuda" else num_processors()),
        block_rows=parsed.block_rows,
        ray_address=parsed.ray_address,
    )


def _config(parsed: argparse.Namespace) -> pb.TranslateRequest:
    return pb.TranslateRequest(
        source_language=parsed.source,
        target_language=parsed.target,
        format=pb.TextFormat.Value(f"TEXT_FORMAT_{parsed.markup.upper()}"),
        options=pb.TranslateOptions(
            beam_size=parsed.beam_size,
            max_target_tokens=parsed.max_tokens,
            segmentation=pb.Segmentation.Value(f"SEGMENTATION_{parsed.segmentation.upper()}"),
        ),
    )


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 1 to {2**31 - 1}")
    return number
