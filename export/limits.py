"""What can be exported at all: limits of length, sizes of heads, and shortlists that fit their model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from export.graphs.to_onnx import ExportError
from export.precisions import SHORTLIST_PRECISIONS
from model.networks.config import TransformerConfig
from model.networks.encoder_decoder import EncoderDecoder
from model.shortlist.shortlist import Shortlist, ShortlistError
from model.text.tokenizer import Tokenizer

HEAD_MULTIPLE = 8
_SOURCE_MULTIPLE = 8  # a server pads a source to a multiple of it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The longest source and target that an artifact takes, in tokens, special ones included."""

    max_source_tokens: int = 256
    max_target_tokens: int = 256


def position_limit(model: EncoderDecoder) -> int | None:
    """The longest source or target of learned positions, in tokens; None where positions have no end."""
    num_positions = model.config.most_positions
    return None if num_positions is None else num_positions // _SOURCE_MULTIPLE * _SOURCE_MULTIPLE


def check_limits(model: EncoderDecoder, limits: Limits) -> None:
    """Refuse limits that a model has no positions for.

    Raises:
        ExportError: names the limit and the positions.
    """
    num_positions = position_limit(model)
    longest = max(limits.max_source_tokens, limits.max_target_tokens)
    if num_positions is not None and longest > num_positions:
        raise ExportError(
            f"the limit of {longest} tokens is more than the {num_positions} that the learned positions allow"
        )


def check_heads(model: EncoderDecoder) -> None:
    """Refuse a Transformer whose heads are of a size that ONNX Runtime does not take.

    Raises:
        ExportError: names the size and what it must be a multiple of.
    """
    config = model.config
    if isinstance(config, TransformerConfig) and config.head_size % HEAD_MULTIPLE:
        raise ExportError(
            f"heads have size {config.head_size} (model_size {config.model_size} over {config.num_heads}), "
            f"ONNX Runtime's attention takes multiples of {HEAD_MULTIPLE}"
        )


def check_shortlist(shortlist: Shortlist, tokenizer: Tokenizer, precision: str) -> None:
    """Refuse a shortlist that does not fit the tokenizer or the precision.

    Raises:
        ExportError: lists every fault.
    """
    faults = list(_table_faults(shortlist, tokenizer))
    if not tokenizer.has_one_vocabulary:
        faults.append("source and target have vocabularies of their own, and it copies tokens of the source")
    if shortlist.vocabulary_size != tokenizer.size:
        faults.append(f"it is of {shortlist.vocabulary_size} tokens, the tokenizer has {tokenizer.size}")
    if precision not in SHORTLIST_PRECISIONS:
        faults.append(f"{precision} artifacts have none, only {', '.join(SHORTLIST_PRECISIONS)}")
    if faults:
        raise ExportError(f"the shortlist does not fit: {'; '.join(faults)}")


def _table_faults(shortlist: Shortlist, tokenizer: Tokenizer) -> Iterator[str]:
    """Every source needs a table, and in it the end of a sentence, or its translation would not end."""
    for _, target in tokenizer.directions:
        try:
            table = shortlist.table_of(tokenizer.encode_source("", target))
        except ShortlistError as error:
            yield f"it has {error}"
            continue
        if not table.is_always[tokenizer.special_ids.end : tokenizer.special_ids.end + 1].any():
            yield f"its candidates for {target} lack the end of a sentence, id {tokenizer.special_ids.end}"
