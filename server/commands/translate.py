"""The command traghetto-translate: arguments or lines of standard input, one translation a line, in order."""

from __future__ import annotations

import argparse
import io
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tqdm import tqdm

from server.commands.heat_map import DrawingUnavailable, draw, require_matplotlib
from server.commands.standard_streams import run_command
from server.commands.token_file import make_token
from server.commands.translate_arguments import make_options, make_tls, parse_arguments
from server.commands.translate_file import translate_file
from server.commands.translate_results import told
from server.files.text_file import FileError
from server.files.translating import OF_ONE_TEXT
from traghetto import (
    CallError,
    Client,
    InvalidText,
    Result,
    TextError,
    TlsError,
    TokenError,
    Translation,
)
from traghetto.in_order import in_order

_IN_FLIGHT = 64
_CHUNK_BYTES = 1 << 16


class _Refused(Exception):
    """Input that cannot be read or that does not fit the flags."""


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """Why a text has no translation.

    Args:
        ends_all: Whether the texts behind it would meet the same.
    """

    message: str
    ends_all: bool = False


def _print_all(results: Iterable[Result | _Fault], *, has_bar: bool, end: str = "\n") -> bool:
    """Print translations to standard output and errors to standard error; False if there was an error.

    A text without a translation is an empty line, so that lines stay beside their sources.
    """
    is_whole = True
    with tqdm(unit="line", disable=not has_bar) as bar:
        for number, result in enumerate(results, 1):
            if isinstance(result, TextError | _Fault):
                is_whole = False
                tqdm.write(f"traghetto-translate: text {number}: {result.message}", file=sys.stderr)
            if isinstance(result, _Fault) and result.ends_all:
                break
            if isinstance(result, Translation):
                for warning in result.warnings:
                    tqdm.write(
                        f"traghetto-translate: text {number}: warning: {told(warning)}", file=sys.stderr
                    )
            print(result.text if isinstance(result, Translation) else "", end=end, flush=True)
            bar.update()
    return is_whole


def _translate_all(client: Client, arguments: argparse.Namespace, texts: Iterable[str | bytes]) -> bool:
    """Print the translation of each text; False if there was an error."""
    options = make_options(arguments)

    def translate(text: str | bytes) -> Result | _Fault:
        try:
            decoded = text if isinstance(text, str) else text.decode()
            return client.translate([decoded], arguments.source, arguments.target, **options)[0]
        except UnicodeDecodeError as error:
            return _Fault(message=_not_utf8(error))
        except CallError as error:
            return _Fault(message=str(error), ends_all=not isinstance(error, OF_ONE_TEXT))

    # One at a time: a line that is typed does not wait for the next one.
    results = in_order(translate, texts, _IN_FLIGHT)
    has_bar = not arguments.texts and sys.stderr.isatty() and not sys.stdin.isatty()
    end = "" if _is_page(arguments) else "\n"  # a page has its own end
    return _print_all(results, has_bar=has_bar, end=end)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"the line is no UTF-8: byte {error.start + 1} is 0x{error.object[error.start]:02x}"


def _translate_and_draw(client: Client, arguments: argparse.Namespace, texts: Iterable[str | bytes]) -> bool:
    """Print the translation of the one text and draw its attention; False if there was an error."""
    require_matplotlib()
    first = list(itertools.islice(texts, 2))
    if len(first) != 1:
        count = "more" if first else "none"
        raise _Refused(f"--attention draws one text, standard input has {count}")
    text = first[0] if isinstance(first[0], str) else first[0].decode()
    options = make_options(arguments)
    options["segmentation"] = arguments.segmentation or "none"  # there is one attention to draw
    (result,) = client.translate([text], arguments.source, arguments.target, **options)
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


def _is_page(arguments: argparse.Namespace) -> bool:
    """Whether standard input is one text: markup goes on over lines."""
    return not arguments.texts and arguments.format not in {None, "plain"}


def _lines(*, is_page: bool) -> Iterable[bytes]:
    r"""The lines of standard input, read as they come, \n or \r\n ends one; or all of it as one text.

    Raises:
        _Refused: it is closed.
    """
    if sys.stdin is None:
        raise _Refused("standard input is closed, and there is no text among the arguments")
    descriptor = sys.stdin.fileno()
    return [b"".join(iter(lambda: _chunk(descriptor), b""))] if is_page else _lines_of(descriptor)


def _lines_of(descriptor: int) -> Iterator[bytes]:
    """The lines of a file, read without Python's buffer."""
    rest = b""  # a thread that waits for input would hold the buffer's lock, and break the process's end
    while chunk := _chunk(descriptor):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in lines)
    if rest:
        yield rest.removesuffix(b"\r")


def _chunk(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError as error:
        raise _Refused(f"cannot read standard input: {error.strerror}") from error


def _translate(client: Client, arguments: argparse.Namespace) -> bool:
    """Do what the arguments ask for; False if there was an error.

    Raises:
        _Refused: a file cannot be read or written.
    """
    if arguments.pairs:
        return _print_pairs(client, arguments)
    if arguments.input is not None:
        try:
            return translate_file(client, arguments)
        except OSError as error:
            raise _Refused(f"{error.filename}: {error.strerror}") from error
    texts: Iterable[str | bytes] = arguments.texts or _lines(is_page=_is_page(arguments))
    return (_translate_and_draw if arguments.attention else _translate_all)(client, arguments, texts)


def _print_pairs(client: Client, arguments: argparse.Namespace) -> bool:
    """Print a line for each language pair: source, target, and its models; False if there is none."""
    pairs = client.language_pairs(arguments.source or "", arguments.target or "")
    for pair in pairs:
        through = [f"(through {pair.pivot_language})"] if pair.pivot_language else []
        print(pair.source_language, pair.target_language, *pair.models, *through)
    if not pairs:
        print("traghetto-translate: the server has no such language pair", file=sys.stderr)
    return bool(pairs)


def main() -> int:
    """Run the command; exit status 1 if a text, the call or a drawing failed, 2 for input it cannot take."""
    return run_command("traghetto-translate", _command)


def _command() -> int:
    arguments = parse_arguments()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    status = 1
    try:
        with Client(
            arguments.server,
            arguments.timeout,
            make_tls(arguments),
            keepalive_seconds=arguments.keepalive_seconds,
            max_message_mib=arguments.max_message_mib,
            token=make_token(arguments),
            allow_plaintext_token=arguments.allow_plaintext_token,
        ) as client:
            return 0 if _translate(client, arguments) else 1
    except CallError as error:
        message = str(error)
    except UnicodeDecodeError as error:
        status, message = 2, _not_utf8(error)
    except (DrawingUnavailable, FileError, InvalidText, TlsError, TokenError, _Refused) as error:
        status, message = 2, str(error)
    print(f"traghetto-translate: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
