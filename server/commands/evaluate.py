"""The command traghetto-evaluate: BLEU and chrF of a served artifact on parallel text."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from model.text.evaluation import evaluate
from model.text.parallel_text import DataError, read_pairs
from server.commands.standard_streams import run_command
from traghetto import CallError, Client, TextError

# Starts the server of this very tree, whatever else the working directory or PYTHONPATH calls `server`.
_SERVE = """import sys
sys.path.insert(0, sys.argv.pop(1))
from server.commands.serve import main
sys.exit(main())"""
_APP = Path(__file__).resolve().parents[2]
_IN_FLIGHT = 64
DEFAULT_FILES = ("tatoeba.test.tsv.gz", "flores.dev.tsv.gz")


class EvaluateError(RuntimeError):
    """The server did not start, or did not translate a text."""


@contextmanager
def running_server(*artifacts: Path) -> Iterator[str]:
    """Start traghetto-serve with some artifacts on a free port; gives its address.

    Raises:
        EvaluateError: it ended before it was ready.
    """
    with serving(*artifacts) as places:
        yield places["grpc"]


@contextmanager
def serving(*artifacts: Path) -> Iterator[dict[str, str]]:
    """Start traghetto-serve on free ports; gives what its ready line names, as `grpc` and `metrics`."""
    command = [sys.executable, "-P", "-c", _SERVE, str(_APP), *map(str, artifacts)]
    flags = ("--listen", "--metrics-listen", "--admin-listen")
    command += [*(f"{flag}=127.0.0.1:0" for flag in flags), "--log-level=warning"]
    failure = EvaluateError(f"the server did not start with {', '.join(map(str, artifacts))}")
    with listening(command, failure) as places:
        yield places


@contextmanager
def listening(command: list[str], failure: Exception) -> Iterator[dict[str, str]]:
    """Start a server that prints a line with `grpc=HOST:PORT` once it is ready; gives all such words of it.

    Args:
        failure: Raised if it ends before.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "grpc=" not in line:
                raise failure
            yield dict(word.split("=", 1) for word in line.split() if "=" in word)
        finally:
            process.terminate()


def _translate(client: Client, texts: list[str], source: str, target: str, beam_size: int) -> list[str]:
    results = client.translate_many(
        texts,
        source,
        target,
        texts_per_call=1,
        concurrency=_IN_FLIGHT,
        beam_size=beam_size,
        segmentation="none",  # a model is scored on what it is given, as when it was trained
    )
    translated = []
    with tqdm(total=len(texts), unit="line", disable=not sys.stderr.isatty()) as bar:
        for text, result in zip(texts, results, strict=True):
            if isinstance(result, TextError):
                raise EvaluateError(f"{text!r}: {result.message}")
            translated.append(result.text)
            bar.update()
    return translated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-evaluate",
        description="Serve an artifact, translate parallel text through it, and score it.",
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with the files")
    parser.add_argument(
        "--files", nargs="+", default=DEFAULT_FILES, help="tab-separated pairs (default: %(default)s)"
    )
    parser.add_argument(
        "--languages", nargs=2, default=("en", "it"), help="of the two columns (default: en it)"
    )
    parser.add_argument("--beam-size", type=int, default=4)
    return parser


def _lacking(client: Client, first: str, second: str) -> tuple[str, str] | None:
    """The direction that a model of the other one lacks; None if it has both, or neither: that is a fault."""
    pairs = {pair for model in client.models() for pair in model.language_pairs}
    served = {(pair.source_language.lower(), pair.target_language.lower()) for pair in pairs}
    there, back = [(a.lower(), b.lower()) in served for a, b in ((first, second), (second, first))]
    if there == back:
        return None
    return (second, first) if there else (first, second)


def main() -> int:
    """Run the command; exit status 1 if the server fails, 2 for a fault in the input."""
    return run_command("traghetto-evaluate", _command)


def _command() -> int:
    arguments = _parser().parse_args()
    first, second = arguments.languages
    try:
        sets = {name: read_pairs(arguments.data / name) for name in arguments.files}
        with running_server(arguments.artifact) as address, Client(address, timeout_seconds=600) as client:
            lacking = _lacking(client, first, second)
            for name, pairs in sets.items():
                for source, target, chosen in (
                    (first, second, pairs),
                    (second, first, [(b, a) for a, b in pairs]),
                ):
                    if (source, target) == lacking:
                        print(f"{name} {source}-{target}: the model translates the other direction alone")
                        continue
                    started = time.monotonic()
                    hypotheses = _translate(
                        client, [a for a, _ in chosen], source, target, arguments.beam_size
                    )
                    seconds = time.monotonic() - started
                    quality = evaluate(hypotheses, [b for _, b in chosen])
                    print(
                        f"{name} {source}-{target}: BLEU {quality.bleu:.2f} chrF {quality.chrf:.2f} "
                        f"({len(chosen)} sentences, beam {arguments.beam_size}, {seconds:.0f} s)\n"
                        f"  BLEU|{quality.bleu_signature}\n  chrF|{quality.chrf_signature}",
                        flush=True,
                    )
    except DataError as error:
        print(f"traghetto-evaluate: {error}", file=sys.stderr)
        return 2
    except (CallError, EvaluateError) as error:
        print(f"traghetto-evaluate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
