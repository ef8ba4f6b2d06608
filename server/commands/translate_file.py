"""traghetto-translate with --input and --output: a file into a file, of which only the text changes."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from server.commands.translate_arguments import make_options
from server.commands.translate_results import told
from server.files.translating import FileTranslation
from traghetto import Client, Result, TextError


def translate_file(client: Client, arguments: argparse.Namespace) -> bool:
    """Translate --input into --output; False if there was an error, which standard error tells with its line.

    Raises:
        CallError: what every text would meet; what is done is in the journal beside the output.
        FileError: the input is not what its name says, or of a format that is not known.
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
        for done in job.run(client):
            is_whole &= not isinstance(done.result, TextError)
            for line in _told(done.result):
                where = f"{arguments.input}, {job.where(done.number)}"
                tqdm.write(f"traghetto-translate: {where}: {line}", file=sys.stderr)
            bar.update()
    return is_whole


def _told(result: Result) -> list[str]:
    """Lines about a text that has no translation, or one with warnings."""
    if isinstance(result, TextError):
        return [result.message]
    return [f"warning: {told(warning)}" for warning in result.warnings]
