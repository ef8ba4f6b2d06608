"""The command traghetto-evaluate: how well a served artifact translates parallel text."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.evaluation.quality import PiecesBleu
from model.evaluation.robustness import RobustnessCase, read_cases
from model.text.parallel_text import DataError, read_pairs
from server.commands.heat_map import DrawingUnavailable, require_matplotlib
from server.commands.standard_streams import run_command
from server.evaluation.carried_over import CarriedOver, carried_over
from server.evaluation.picture import draw_scores
from server.evaluation.report import CardError, Row, carried_over_lines, into_card, lines, tables
from server.evaluation.scores import Pairs, Translated, score
from server.evaluation.serving import EvaluateError, running_server
from server.evaluation.translating import Direction, lacking, served, translate
from traghetto import CallError, Client, InvalidArgument, NotServed

DEFAULT_FILES = ("tatoeba.test.tsv.gz", "flores.dev.tsv.gz")
_PATIENCE_SECONDS = 600.0
_PICTURE = "scores.png"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-evaluate",
        description="Serve an artifact, translate parallel text through it, and score it.",
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", type=Path, required=True, nargs="+", help="folders with the files")
    parser.add_argument(
        "--files", nargs="+", default=DEFAULT_FILES, help="tab-separated pairs (default: %(default)s)"
    )
    parser.add_argument(
        "--languages", nargs=2, default=("en", "it"), help="of the two columns (default: en it)"
    )
    parser.add_argument("--beam-size", type=int, default=4)
    parser.add_argument(
        "--baseline", type=Path, help="another artifact, to say whether a difference is more than chance"
    )
    parser.add_argument(
        "--robustness", type=Path, help="file of texts and of what their translations must carry over"
    )
    parser.add_argument(
        "--spbleu",
        type=Path,
        metavar="FILE",
        help="SentencePiece file over whose pieces to count BLEU too, as that of FLORES-200",
    )
    parser.add_argument(
        "--card", type=Path, help=f"Markdown file whose scores are written anew, and {_PICTURE} beside it"
    )
    return parser


def main() -> int:
    """Run the command; exit status 1 if the server fails, 2 for a fault in the input."""
    return run_command("traghetto-evaluate", _command)


def _command() -> int:
    arguments = _parser().parse_args()
    try:
        sets = {name: read_pairs(_found(arguments.data, name)) for name in arguments.files}
        cases = read_cases(arguments.robustness) if arguments.robustness else []
        card = arguments.card.read_text(encoding="utf-8") if arguments.card else ""
        if arguments.card:
            into_card(card, "")  # before there is anything to lose
            require_matplotlib()
        rows, carried = _evaluate(arguments, sets, cases)
        if arguments.card:
            draw_scores(arguments.card.with_name(_PICTURE), rows, carried.rates if carried else {})
            scores = tables(rows, carried, arguments.beam_size, _PICTURE)
            arguments.card.write_text(into_card(card, scores), encoding="utf-8")
    except CardError as error:
        print(f"traghetto-evaluate: {arguments.card} {error}", file=sys.stderr)
        return 2
    except (DataError, InvalidArgument, NotServed, OSError) as error:
        print(f"traghetto-evaluate: {error}", file=sys.stderr)
        return 2
    except (CallError, DrawingUnavailable, EvaluateError) as error:
        print(f"traghetto-evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def _found(folders: Sequence[Path], name: str) -> Path:
    """The file in the first folder that has it; where none has, the one that an error will name."""
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def _evaluate(
    arguments: argparse.Namespace, sets: Mapping[str, Pairs], cases: Sequence[RobustnessCase]
) -> tuple[list[Row], CarriedOver | None]:
    """Translate, score and print."""
    languages, beam_size = tuple(arguments.languages), arguments.beam_size
    pieces = PiecesBleu(arguments.spbleu) if arguments.spbleu else None
    baseline: dict[tuple[str, Direction], Translated] = {}
    if arguments.baseline:
        with running_server(arguments.baseline) as address, Client(address, _PATIENCE_SECONDS) as client:
            missing = lacking(served(client), *_both_ways(languages))
            for part in _translations(client, sets, languages, missing, beam_size):
                baseline[part.name, part.direction] = part
    rows: list[Row] = []
    with running_server(arguments.artifact) as address, Client(address, _PATIENCE_SECONDS) as client:
        directions = served(client)
        missing = lacking(directions, *_both_ways(languages))
        started = time.monotonic()
        for part in _translations(client, sets, languages, missing, beam_size):
            before = baseline.get((part.name, part.direction))
            row = Row(translated=part, scores=score(part, before, pieces))
            _print(lines(row, beam_size, time.monotonic() - started))
            rows.append(row)
            started = time.monotonic()
        if missing:
            _print(f"{name} {missing}: the model translates the other direction alone" for name in sets)
        carried = carried_over(client, cases, directions, beam_size) if cases else None
        if carried:
            _print(carried_over_lines(carried))
    return rows, carried


def _both_ways(languages: Sequence[str]) -> tuple[Direction, Direction]:
    first, second = languages
    return Direction(source=first, target=second), Direction(source=second, target=first)


def _translations(
    client: Client,
    sets: Mapping[str, Pairs],
    languages: Sequence[str],
    missing: Direction | None,
    beam_size: int,
) -> Iterator[Translated]:
    """Each file in each direction that the model has."""
    there, back = _both_ways(languages)
    for name, pairs in sets.items():
        for direction in (there, back):
            if direction == missing:
                continue
            chosen = pairs if direction == there else [(b, a) for a, b in pairs]
            sources = [source for source, _ in chosen]
            # A model is scored on what it is given, as when it was trained.
            texts, faults = translate(client, sources, direction, beam_size=beam_size, segmentation="none")
            yield Translated(name=name, direction=direction, pairs=chosen, texts=texts, faults=faults)


def _print(said: Iterator[str]) -> None:
    for line in said:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
