"""The command traghetto-translate: arguments or lines of standard input, one translation a line, in order."""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from collections.abc import Iterable

from tqdm import tqdm

from server.commands.heat_map import DrawingUnavailable, draw, require_matplotlib
from server.commands.standard_streams import run_command
from server.commands.translate_arguments import make_options, make_tls, parse_arguments
from traghetto import CallError, Client, InvalidText, Result, TextError, TextWarning, TlsError

_IN_FLIGHT = 64


class _Refused(Exception):
    """Input that cannot be read or that does not fit the flags."""


def _print_all(results: Iterable[Result], *, has_bar: bool) -> bool:
    """Print translations to standard output and errors to standard error; False if there was an error."""
    is_whole = True
    bar = tqdm(unit="line", disable=not has_bar)
    for number, result in enumerate(results, 1):
        if isinstance(result, TextError):
            is_whole = False
            tqdm.write(f"traghetto-translate: text {number}: {result.message}", file=sys.stderr)
        else:
            for warning in result.warnings:
                tqdm.write(f"traghetto-translate: text {number}: warning: {_told(warning)}", file=sys.stderr)
        line = "" if isinstance(result, TextError) else result.text
        print(line, flush=True)
        bar.update()
    bar.close()
    return is_whole


def _told(warning: TextWarning) -> str:
    """A warning on one line: its reason, and the piece of text it is about."""
    reason = warning.reason.replace("_", " ")
    return f"{reason}: {warning.text!r}" if warning.text else reason


def _translate_all(client: Client, arguments: argparse.Namespace, texts: Iterable[str]) -> bool:
    """Print the translation of each text; False if there was an error."""
    results = client.translate_many(
        texts,
        arguments.source,
        arguments.target,
        texts_per_call=1,  # a line that is typed does not wait for the next one
        concurrency=_IN_FLIGHT,
        **make_options(arguments),
    )
    has_bar = not arguments.texts and sys.stderr.isatty() and not sys.stdin.isatty()
    return _print_all(results, has_bar=has_bar)


def _translate_and_draw(client: Client, arguments: argparse.Namespace, texts: Iterable[str]) -> bool:
    """Print the translation of the one text and draw its attention; False if there was an error."""
    require_matplotlib()
    first = list(itertools.islice(texts, 2))
    if len(first) != 1:
        count = "more" if first else "none"
        raise _Refused(f"--attention draws one text, standard input has {count}")
    options = make_options(arguments)
    options["segmentation"] = arguments.segmentation or "none"  # there is one attention to draw
    (result,) = client.translate(first, arguments.source, arguments.target, **options)
    if not _print_all([result], has_bar=False) or isinstance(result, TextError):
        return False
    attention = result.hypotheses[0].attention
    if attention is None:
        reason = "the text is empty or cut into several, or the server is older than this command"
        print(f"traghetto-translate: there is no attention to draw: {reason}", file=sys.stderr)
        return False
    try:
        draw(attention, result.model.name, arguments.attention)
    except OSError as error:
        print(f"traghetto-translate: cannot write {arguments.attention}: {error}", file=sys.stderr)
        return False
    return True


def _lines() -> Iterable[str]:
    """The lines of standard input, read as they come.

    Raises:
        _Refused: it is closed.
    """
    if sys.stdin is None:
        raise _Refused("standard input is closed, and there is no text among the arguments")
    return (line.rstrip("\n") for line in sys.stdin)


def main() -> int:
    """Run the command; exit status 1 if a text, the call or a drawing failed, 2 for input it cannot take."""
    return run_command("traghetto-translate", _command)


def _command() -> int:
    arguments = parse_arguments()
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    translate = _translate_and_draw if arguments.attention else _translate_all
    status = 1
    try:
        texts: Iterable[str] = arguments.texts or _lines()
        with Client(arguments.server, arguments.timeout, make_tls(arguments)) as client:
            return 0 if translate(client, arguments, texts) else 1
    except CallError as error:
        message = str(error)
    except UnicodeDecodeError as error:
        status, message = 2, f"standard input is no UTF-8: {error}"
    except (DrawingUnavailable, InvalidText, TlsError, _Refused) as error:
        status, message = 2, str(error)
    print(f"traghetto-translate: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
