"""How a model of Transformers is to be searched, as far as it decides on what a translation says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.importers.errors import named, require
from model.importers.json_file import read_json
from model.importers.transformers_options import CONFIG_NAME, TransformersOptions
from model.scoring.length_penalty import MAX_ALPHA, LengthPenalty
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT, TargetLimit

# What changes a translation and is not supported unless it says nothing. How many hypotheses to keep, and
# whether to sample, is a client's choice.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "begin_suppress_tokens": (None, []),
    "diversity_penalty": (None, 0.0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1.0),
    "exponential_decay_length_penalty": (None,),
    "force_words_ids": (None, []),
    "forced_bos_token_id": (None,),
    "forced_decoder_ids": (None, []),
    "guidance_scale": (None, 1.0),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "no_repeat_ngram_size": (None, 0),
    "num_beam_groups": (None, 1),
    "repetition_penalty": (None, 1.0),
    "sequence_bias": (None, {}, []),
}
_LONGEST = 1 << 20
_GENERATION_NAME = "generation_config.json"


@dataclass(frozen=True, kw_only=True)
class TransformersSearch:
    """What of a generation configuration goes with the model.

    Args:
        suppressed: Ids that are never said, ascending.
        target_limit: Of a translation's tokens; Transformers counts the start token too.
        length_penalty: How scores are compared.
    """

    suppressed: tuple[int, ...]
    target_limit: TargetLimit
    length_penalty: LengthPenalty


def read_search(
    fields: Mapping[str, Any], *, vocabulary_size: int, padding: int | None, end: int
) -> TransformersSearch:
    """Read a generation_config.json, or a config.json of the time before there was one.

    Args:
        vocabulary_size: V of the target.
        padding, end: Ids of the target. A padding that is named is suppressed: it is no text.

    Raises:
        ForeignModelError: lists every option that is impossible or not supported, and what is.
    """
    faults = [*_neutral_faults(fields), *_id_faults(fields, vocabulary_size, end), *_number_faults(fields)]
    require(faults, "search options")
    suppressed = [] if padding is None else [padding]
    banned = [sequence[0] for sequence in fields.get("bad_words_ids") or []]
    alpha = fields.get("length_penalty")
    return TransformersSearch(
        suppressed=tuple(sorted({*suppressed, *banned, *(fields.get("suppress_tokens") or [])})),
        target_limit=_target_limit(fields),
        length_penalty=LengthPenalty(kind="power", alpha=1.0 if alpha is None else float(alpha)),
    )


def search_of(folder: Path, fields: Mapping[str, Any], options: TransformersOptions) -> TransformersSearch:
    """Of generation_config.json, or of config.json where it is not there, as in Transformers.

    Args:
        fields: Of config.json.

    Raises:
        ForeignModelError: As `read_search`, with the file's name.
    """
    path = folder / _GENERATION_NAME
    if path.is_file():
        fields = read_json(path)
    else:
        path = folder / CONFIG_NAME
    if options.is_pre_norm:  # each call forces the language that it asks for
        fields = {**fields, "forced_bos_token_id": None}
    return named(
        path,
        lambda: read_search(
            fields,
            vocabulary_size=options.target_vocabulary,
            padding=options.padding if options.has_output_bias else None,
            end=options.end,
        ),
    )


def _neutral_faults(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, values in _NEUTRAL.items():
        value = fields.get(name)
        if value not in values or isinstance(value, bool):
            yield f"{name} is {value!r}, only {values[-1]!r} is supported"


def _id_faults(fields: Mapping[str, Any], vocabulary_size: int, end: int) -> Iterator[str]:
    def is_id(value: object) -> bool:
        return type(value) is int and 0 <= value < vocabulary_size and value != end

    if fields.get("forced_eos_token_id") not in (None, end):
        yield f"forced_eos_token_id is {fields['forced_eos_token_id']!r}, only the end, {end}, is supported"
    words = fields.get("bad_words_ids") or []
    if not isinstance(words, list) or not all(
        isinstance(word, list) and len(word) == 1 and is_id(word[0]) for word in words
    ):
        yield f"bad_words_ids is {words!r}, must be a list of lists of one id, none of them the end, {end}"
    tokens = fields.get("suppress_tokens") or []
    if not isinstance(tokens, list) or not all(map(is_id, tokens)):
        yield f"suppress_tokens is {tokens!r}, must be a list of ids, none of them the end, {end}"


def _number_faults(fields: Mapping[str, Any]) -> Iterator[str]:
    alpha: Any = fields.get("length_penalty")
    is_number = type(alpha) in {int, float} and 0 <= alpha <= MAX_ALPHA
    if alpha is not None and not is_number:
        yield f"length_penalty is {alpha!r}, must be a number from 0 to {MAX_ALPHA:g}"
    for name, lowest in (("max_length", 2), ("max_new_tokens", 1)):
        value = fields.get(name)
        if value is not None and not (type(value) is int and lowest <= value <= _LONGEST):
            yield f"{name} is {value!r}, must be a whole number from {lowest} to {_LONGEST}"


def _target_limit(fields: Mapping[str, Any]) -> TargetLimit:
    """Where nobody says anything it is ours: that of Transformers, 20 tokens, would cut translations."""
    if (new_tokens := fields.get("max_new_tokens")) is not None:
        return TargetLimit(factor=0.0, extra=new_tokens)
    if (length := fields.get("max_length")) is not None:
        return TargetLimit(factor=0.0, extra=length - 1)
    return DEFAULT_TARGET_LIMIT
