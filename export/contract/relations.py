"""What the fields of a manifest must be to each other, beyond the type of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from export.contract.field_types import MAX_TOKENS
from export.contract.graph_names import OF_A_SHORTLIST, OF_EVERY_MODEL

if TYPE_CHECKING:
    from export.contract.manifest import Manifest

_MAX_FACTOR = 1000
# Axes of pools that depend on what runs: a server knows their sizes.
POOL_AXES = frozenset({"rows", "beam", "hypotheses", "columns", "source_capacity"})


def relation_faults(manifest: Manifest) -> Iterator[str]:
    """Every rule between fields that a manifest breaks."""
    if missing := OF_EVERY_MODEL - manifest.graphs.keys():
        yield f"graphs lacks {', '.join(sorted(missing))}"
    if manifest.shortlist and (missing := OF_A_SHORTLIST - manifest.graphs.keys()):
        yield f"graphs lacks {', '.join(sorted(missing))}, which a shortlist needs"
    limit = manifest.target_limit
    if limit.factor > _MAX_FACTOR or limit.extra > MAX_TOKENS:
        yield (
            f"target_limit is {limit.factor:g} times the source and {limit.extra} tokens, the limits are "
            f"{_MAX_FACTOR} and {MAX_TOKENS}"
        )
    yield from _id_faults(manifest)
    yield from _self_check_faults(manifest)
    yield from _attention_faults(manifest)
    yield from _pool_faults(manifest)


def _id_faults(manifest: Manifest) -> Iterator[str]:
    ids = {f"special_ids.{name}": (token_id,) for name, token_id in asdict(manifest.special_ids).items()}
    # Its source may be of another vocabulary, which the tokenizer knows.
    ids |= {f"self_check.{name}": getattr(manifest.self_check, name) for name in ("greedy", "beam")}
    for name, token_ids in ids.items():
        for token_id in {min(token_ids), max(token_ids)}:
            if not 0 <= token_id < manifest.vocabulary_size:
                size = manifest.vocabulary_size
                yield f"{name} has id {token_id}, must be from 0 and below the vocabulary_size {size}"


def _self_check_faults(manifest: Manifest) -> Iterator[str]:
    check = manifest.self_check
    if len(check.source) > manifest.max_source_tokens:
        yield (
            f"self_check.source has {len(check.source)} tokens, the limit max_source_tokens is "
            f"{manifest.max_source_tokens}"
        )
    if check.max_target_tokens > manifest.max_target_tokens:
        yield (
            f"self_check.max_target_tokens is {check.max_target_tokens}, the limit max_target_tokens is "
            f"{manifest.max_target_tokens}"
        )


def _attention_faults(manifest: Manifest) -> Iterator[str]:
    if (attention := manifest.attention) is None:
        return
    if attention.default_layer >= attention.num_layers:
        yield (
            f"attention.default_layer is {attention.default_layer}, must be below the num_layers "
            f"{attention.num_layers}"
        )
    if (number := len(attention.anchor_accuracy)) != attention.num_layers:
        yield f"attention.anchor_accuracy has {number} figures, num_layers is {attention.num_layers}"


def _pool_faults(manifest: Manifest) -> Iterator[str]:
    pools = [(kind, spec) for kind in ("caches", "states", "memory") for spec in getattr(manifest, kind)]
    for name, count in Counter(spec.name for _, spec in pools).items():
        if count > 1:
            yield f"the pool {name} is there {count} times"
    for kind, spec in pools:
        unknown = sorted({axis for axis in spec.shape if isinstance(axis, str)} - POOL_AXES)
        if unknown:
            known = ", ".join(sorted(POOL_AXES))
            yield f"{kind}: {spec.name} has an axis {', '.join(unknown)}, a pool's are {known}"
        if kind == "caches" and (spec.shape[0] != "hypotheses" or spec.shape.count("columns") != 1):
            yield f"caches: {spec.name} has axes {spec.shape}, the first must be hypotheses, and one columns"
