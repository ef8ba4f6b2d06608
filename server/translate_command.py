"""The command traghetto-translate: arguments or lines of standard input, one translation a line, in order."""

from __future__ import annotations

import argparse
import io
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

from server.client import CallError, Client, Result, TextError

T = TypeVar("T")
_IN_FLIGHT = 64


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-translate",
        description="Translate texts, or the lines of standard input, with a running server.",
    )
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="what to translate (default: lines of standard input)"
    )
    parser.add_argument("--source", required=True, help="language of the texts, for example en")
    parser.add_argument("--target", required=True, help="language to translate into, for example it")
    parser.add_argument("--server", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument(
        "--model", default="", help="a model's name (default: the server's choice for the pair)"
    )
    parser.add_argument("--beam-size", type=int, help="hypotheses kept at each step; 1 is greedy search")
    parser.add_argument("--max-tokens", type=int, help="longest translation, in tokens")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="deadline of each text"
    )
    return parser


def in_order(translate: Callable[[str], T], texts: Iterable[str]) -> Iterator[T]:
    """Translate texts as they come, several at once, and give the results in order as each is done."""
    futures: queue.Queue[Future[T] | None] = queue.Queue(_IN_FLIGHT)
    is_over = threading.Event()

    def read() -> None:
        try:
            for text in texts:
                if is_over.is_set():
                    return
                futures.put(pool.submit(translate, text))
        except Exception as error:  # noqa: BLE001 - whatever reading raises is raised where results are read
            failed: Future[T] = Future()
            failed.set_exception(error)
            futures.put(failed)
        futures.put(None)

    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        threading.Thread(target=read, daemon=True).start()
        try:
            while (future := futures.get()) is not None:
                yield future.result()
        finally:
            is_over.set()


def _print_all(results: Iterable[Result], *, has_bar: bool) -> bool:
    """Print translations to standard output and errors to standard error; False if there was an error."""
    is_whole = True
    bar = tqdm(unit="line", disable=not has_bar)
    for number, result in enumerate(results, 1):
        if isinstance(result, TextError):
            is_whole = False
            tqdm.write(f"traghetto-translate: text {number}: {result.message}", file=sys.stderr)
        line = "" if isinstance(result, TextError) else result.text
        print(line, flush=True)
        bar.update()
    bar.close()
    return is_whole


def main() -> int:
    """Run the command; exit status 1 if a text, or the call, failed, 2 for input that cannot be read."""
    arguments = _parser().parse_args()
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    texts: Iterable[str] = arguments.texts or (line.rstrip("\n") for line in sys.stdin)
    has_bar = not arguments.texts and sys.stderr.isatty() and not sys.stdin.isatty()
    with Client(arguments.server, arguments.timeout) as client:

        def translate(text: str) -> Result:
            return client.translate(
                [text],
                arguments.source,
                arguments.target,
                model=arguments.model,
                beam_size=arguments.beam_size,
                max_target_tokens=arguments.max_tokens,
            )[0]

        try:
            return 0 if _print_all(in_order(translate, texts), has_bar=has_bar) else 1
        except CallError as error:
            print(f"traghetto-translate: {error}", file=sys.stderr)
            return 1
        except UnicodeDecodeError as error:
            print(f"traghetto-translate: standard input is no UTF-8: {error}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
