"""The arguments of traghetto-translate: its flags, which of them go together, and the options they make."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from server.commands.token_file import add_token_arguments
from server.documents.glossary_file import GlossaryError, read_terms
from traghetto import (
    AttentionOptions,
    ContrastiveSearch,
    GlossaryTerm,
    Sampling,
    Tls,
    TranslateOptions,
)
from traghetto.target import MAX_KEEPALIVE_SECONDS, MAX_MESSAGE_MIB

PICTURE_SUFFIXES = (".png", ".svg")
# A flag that says more about another one, and has no meaning without it.
_NEEDS = {
    "temperature": "sample",
    "top_k": "sample",
    "top_p": "sample",
    "seed": "sample",
    "penalty_alpha": "contrastive",
    "layer": "attention",
    "heads": "attention",
    "tls_certificate": "tls_key",
    "tls_key": "tls_certificate",
    "input": "output",
    "output": "input",
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, by default the process' own; what makes no sense ends it with status 2."""
    parser = argparse.ArgumentParser(
        prog="traghetto-translate",
        description="Translate texts, or the lines of standard input, with a running server.",
    )
    _add_call_arguments(parser)
    _add_connection_arguments(parser)
    _add_tls_arguments(parser)
    _add_search_arguments(parser)
    _add_constraint_arguments(parser)
    _add_attention_arguments(parser)
    parsed = parser.parse_args(arguments)
    if missing := [name for name in ("source", "target") if not (parsed.pairs or getattr(parsed, name))]:
        parser.error(f"the following arguments are required: {', '.join(map(_flag, missing))}")
    if parsed.pairs and (parsed.texts or parsed.input):
        parser.error(f"--pairs goes with no {'--input' if parsed.input else 'text'}")
    for name, other in _NEEDS.items():
        if getattr(parsed, name) is not None and getattr(parsed, other) is None:
            parser.error(f"{_flag(name)} needs {_flag(other)}")
    if parsed.attention and len(parsed.texts) > 1:
        parser.error(f"--attention draws one text, not {len(parsed.texts)}")
    if parsed.input and parsed.format:
        parser.error("--format is told by the end of --input's name")
    if parsed.input and (parsed.texts or parsed.attention):
        parser.error(f"--input goes with no {'text' if parsed.texts else '--attention'}")
    if parsed.input and parsed.input.resolve() == parsed.output.resolve():
        parser.error(f"--output is --input, {parsed.input}")
    return parsed


def make_tls(parsed: argparse.Namespace) -> Tls | None:
    """How to reach the server; each of the flags of TLS asks for it."""
    if not (parsed.tls or parsed.tls_ca or parsed.tls_certificate):
        return None
    return Tls(ca=parsed.tls_ca, certificate=parsed.tls_certificate, key=parsed.tls_key)


def make_options(parsed: argparse.Namespace) -> TranslateOptions:
    """The options of each call."""
    method: Sampling | ContrastiveSearch | None = None
    if parsed.sample:
        method = Sampling(
            temperature=parsed.temperature, top_k=parsed.top_k, top_p=parsed.top_p, seed=parsed.seed
        )
    if parsed.contrastive is not None:
        method = ContrastiveSearch(top_k=parsed.contrastive, penalty_alpha=parsed.penalty_alpha)
    attention = AttentionOptions(layer=parsed.layer, heads=parsed.heads or ()) if parsed.attention else None
    return TranslateOptions(
        model=parsed.model,
        beam_size=parsed.beam_size,
        max_target_tokens=parsed.max_tokens,
        method=method,
        attention=attention,
        segmentation=parsed.segmentation,
        format=parsed.format,
        target_prefix=parsed.target_prefix,
        suppress=parsed.suppress,
        glossary=[term for file in parsed.glossary for term in file],
        glossary_names=parsed.glossary_name,
        no_repeat_ngram_size=parsed.no_repeat_ngram,
        repetition_penalty=parsed.repetition_penalty,
        min_target_tokens=parsed.min_tokens,
    )


def _add_call_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="what to translate (default: lines of standard input)"
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="a file to translate instead; docs/files.md has the formats",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="of --input: where its translation is put"
    )
    parser.add_argument("--source", help="language of the texts, for example en; auto: found for each text")
    parser.add_argument("--target", help="language to translate into, for example it")
    parser.add_argument(
        "--pairs",
        action="store_true",
        help="list the server's language pairs and the models of each, the default first, instead; with "
        "--source or --target only those of the language",
    )
    parser.add_argument("--server", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument(
        "--model", default="", help="a model's name (default: the server's choice for the pair)"
    )
    parser.add_argument(
        "--segmentation",
        choices=("sentences", "lines", "none"),
        help="how texts are cut before they are translated (default: sentences; of --attention, none)",
    )
    parser.add_argument(
        "--format",
        choices=("plain", "html", "xml", "markdown"),
        help="what the texts are written in (default: plain)",
    )
    parser.add_argument(
        "--max-tokens", type=_int32, metavar="N", help="longest translation of a sentence, in tokens"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="deadline of each text"
    )


def _add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    add_token_arguments(parser)
    parser.add_argument(
        "--keepalive-seconds",
        type=_keepalive,
        metavar="SECONDS",
        help="silence after which the server is asked for a sign of life (default: never)",
    )
    parser.add_argument(
        "--max-message-mib",
        type=lambda text: _whole_number(text, 1, MAX_MESSAGE_MIB),
        default=4,
        metavar="N",
        help="largest request and answer, in MiB (default: %(default)s)",
    )


def _add_tls_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tls", action="store_true", help="reach the server with TLS, trusting the system's authorities"
    )
    parser.add_argument(
        "--tls-ca", metavar="FILE", help="with TLS, trusting the authorities of this PEM file instead"
    )
    parser.add_argument(
        "--tls-certificate",
        metavar="FILE",
        help="with TLS, this command's own certificate in PEM, for a server that asks for one",
    )
    parser.add_argument("--tls-key", metavar="FILE", help="private key of --tls-certificate, in PEM")


def _add_search_arguments(parser: argparse.ArgumentParser) -> None:
    methods = parser.add_mutually_exclusive_group()
    methods.add_argument(
        "--beam-size", type=_int32, metavar="N", help="hypotheses kept at each step; 1 is greedy search"
    )
    methods.add_argument("--sample", action="store_true", default=None, help="draw each token at random")
    methods.add_argument(
        "--contrastive", type=_int32, metavar="K", help="contrastive search among K candidates for each token"
    )
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of --sample: below 1 less random, above 1 more"
    )
    parser.add_argument(
        "--top-k", type=_int32, metavar="K", help="of --sample: only the K most probable tokens"
    )
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="of --sample: only the most probable tokens that reach P"
    )
    parser.add_argument(
        "--seed",
        type=_uint64,
        metavar="N",
        help="of --sample: the same number, the same translation",
    )
    parser.add_argument(
        "--penalty-alpha",
        type=float,
        metavar="ALPHA",
        help="of --contrastive: weight of the penalty on repetition, from 0 to 1",
    )


def _add_constraint_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target-prefix", metavar="TEXT", help="how each translation begins")
    parser.add_argument(
        "--suppress",
        action="append",
        default=[],
        metavar="TERM",
        help="a term that no translation has; may be given several times",
    )
    parser.add_argument(
        "--glossary",
        type=_glossary,
        action="append",
        default=[],
        metavar="FILE",
        help="a file of terms and what translations say for them; docs/documents.md has its form",
    )
    parser.add_argument(
        "--glossary-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a glossary of the server; may be given several times",
    )
    parser.add_argument(
        "--no-repeat-ngram",
        type=_int32,
        metavar="N",
        help="no run of N tokens is twice in the translation of a sentence",
    )
    parser.add_argument(
        "--repetition-penalty",
        type=float,
        metavar="FACTOR",
        help="above 1, makes tokens that are there already less probable",
    )
    parser.add_argument(
        "--min-tokens", type=_int32, metavar="N", help="shortest translation of a sentence, in tokens"
    )


def _add_attention_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--attention",
        type=_picture,
        metavar="FILE",
        help=f"draw one text's attention over its source to FILE, {' or '.join(PICTURE_SUFFIXES)}",
    )
    parser.add_argument(
        "--layer",
        type=_int32,
        metavar="N",
        help="of --attention: decoder layer, from 0 (default: the model's)",
    )
    parser.add_argument(
        "--heads",
        type=_int32_list,
        metavar="N,N",
        help="of --attention: heads whose mean is drawn, from 0 (default: all)",
    )


def _whole_number(text: str, least: int, most: int) -> int:
    """A number that fits in a message's field; whether it makes sense there is for the server to say."""
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{number} is not from {least} to {most}")
    return number


def _seconds(text: str) -> float:
    """A deadline; gRPC takes one of 0 or of infinity for one that has passed."""
    try:
        number = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text} is no finite number above 0")
    return number


def _keepalive(text: str) -> float:
    number = _seconds(text)
    if not 1 <= number <= MAX_KEEPALIVE_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MAX_KEEPALIVE_SECONDS}")
    return number


def _int32(text: str) -> int:
    return _whole_number(text, -(2**31), 2**31 - 1)


def _uint64(text: str) -> int:
    return _whole_number(text, 0, 2**64 - 1)


def _int32_list(text: str) -> list[int]:
    return [_int32(part) for part in text.split(",")]


def _glossary(text: str) -> list[GlossaryTerm]:
    try:
        terms = read_terms(Path(text))
    except GlossaryError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return [GlossaryTerm(source=t.source, target=t.target, match_case=t.match_case) for t in terms]


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} does not end in {' or '.join(PICTURE_SUFFIXES)}")
    return path


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
