"""traghetto-translate with --input and --output: a file into a file, of which only the text changes."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from server.commands.translate_arguments import make_options
from server.commands.translate_results import told
from server.files.translating import FileTranslation
from traghetto import Client, TextError


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
            where = f"traghetto-translate: {arguments.input}, {job.where(done.number)}"
            if isinstance(done.result, TextError):
                is_whole = False
                tqdm.write(f"{where}: {done.result.message}", file=sys.stderr)
            else:
                for warning in done.result.warnings:
                    tqdm.write(f"{where}: warning: {told(warning)}", file=sys.stderr)
            bar.update()
    return is_whole
