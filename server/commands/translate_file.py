"""traghetto-translate with --input and --output: a file into a file, of which only the text changes."""

from __future__ import annotations

import argparse
import sys
import threading

from tqdm import tqdm

from server.commands.translate_arguments import make_options
from server.commands.translate_results import told
from server.files.translating import FileTranslation
from traghetto import Client, Result, ServerBusy, TextError


def translate_file(client: Client, arguments: argparse.Namespace) -> bool:
    """Translate --input into --output; False if there was an error, which standard error tells with its line.

    A server without room is waited for.

    Raises:
        CallError: what every text would meet; what is done is in the journal beside the output.
        FileError: the input is not what its name says, or of a format that is not known.
        KeyboardInterrupt: somebody interrupts it, which standard error tells with how to go on.
        OSError: a file cannot be read or written.
    """
    options = make_options(arguments)
    options["priority"] = "bulk"
    languages = arguments.source, arguments.target
    job = FileTranslation(arguments.input, arguments.output, languages, options)
    if not job.num_places:
        print(f"traghetto-translate: {arguments.input}: there is no text in it", file=sys.stderr)
    is_whole = True
    with tqdm(total=job.num_places, unit="text", disable=not sys.stderr.isatty()) as bar:
        try:
            for done in job.run(client, _TellOnce()):
                is_whole &= not isinstance(done.result, TextError)
                for line in _told(done.result):
                    _write(f"{arguments.input}, {job.where(done.number)}: {line}")
                bar.update()
        except KeyboardInterrupt:
            _write(f"interrupted; the same command goes on where it was, with {job.journal_path}")
            raise
    return is_whole


class _TellOnce:
    """Says that the server is busy, and no more than that, however many texts wait."""

    def __init__(self) -> None:
        self._is_first = threading.Lock()

    def __call__(self, error: ServerBusy) -> None:
        if self._is_first.acquire(blocking=False):
            _write(f"waiting for a busy server, as long as it takes: {error}")


def _write(line: str) -> None:
    """A line of standard error, above the bar."""
    tqdm.write(f"traghetto-translate: {line}", file=sys.stderr)


def _told(result: Result) -> list[str]:
    """Lines about a text that has no translation, or one with warnings."""
    if isinstance(result, TextError):
        return [result.message]
    return [f"warning: {told(warning)}" for warning in result.warnings]
