"""What is wrong with TranslateOptions: every fault, with the value and the limit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from export.contract.manifest import AttentionInfo
from server.api.options import length_penalty_of, method_of, most_target_tokens, num_hypotheses_of
from server.engine.sequence import Beam, Contrastive, Sampling
from server.errors import Violation, quoted
from server.models.loading import LoadedModel
from server.work.job import Job
from traghetto.pb.translation.v1 import translation_pb2 as pb

# Of a call: a little under the 4 MiB that a client takes in one message by default; hundreds of sentences.
MAX_ATTENTION_WEIGHTS = 983_040
_MAX_LISTED = 8


def option_faults(
    options: pb.TranslateOptions, model: LoadedModel | None, max_beam_size: int
) -> list[Violation]:
    """Every fault of a call's options.

    Args:
        model: Has limits of its own; None if none was found, and then those are not checked.
        max_beam_size: The server's limit.
    """
    faults = _method_faults(options, max_beam_size)
    faults += _length_faults(options, model)
    alpha = length_penalty_of(options)
    if not (math.isfinite(alpha) and alpha >= 0):
        faults.append(_fault("length_penalty", alpha, "must be finite and at least 0"))
    if options.HasField("attention"):
        faults += _attention_faults(options.attention, model)
    return faults


def attention_size_faults(jobs: Iterable[Job]) -> list[Violation]:
    """What a call does wrong that may make more attention than the server holds for one."""
    most = sum(len(job.source) * job.max_target_tokens * job.method.width for job in jobs if job.attention)
    if most <= MAX_ATTENTION_WEIGHTS:
        return []
    limit = f"may make {most} weights, must make at most {MAX_ATTENTION_WEIGHTS}: send fewer texts"
    return [Violation("options.attention", limit)]


def _method_faults(options: pb.TranslateOptions, max_beam_size: int) -> list[Violation]:
    match method := method_of(options, max_beam_size):
        case Beam():
            return [
                *_range_faults("beam_size", [method.beam_size], 1, max_beam_size),
                *_range_faults("num_hypotheses", [num_hypotheses_of(options)], 1, max(method.beam_size, 1)),
            ]
        case Sampling():
            return [*_beam_faults(options, "sampling"), *_sampling_faults(options.sampling, method)]
        case Contrastive():
            return [
                *_beam_faults(options, "contrastive_search"),
                *_contrastive_faults(method, max_beam_size),
            ]


def _beam_faults(options: pb.TranslateOptions, method: str) -> list[Violation]:
    """What only beam search has, beside another method."""
    faults = []
    if options.HasField("beam_size"):
        faults.append(_fault("beam_size", options.beam_size, f"must be absent with {method}"))
    if num_hypotheses_of(options) != 1:
        faults.append(_fault("num_hypotheses", options.num_hypotheses, f"must be absent or 1 with {method}"))
    return faults


def _sampling_faults(sampling: pb.Sampling, method: Sampling) -> list[Violation]:
    faults = []
    if not (math.isfinite(method.temperature) and method.temperature > 0):
        faults.append(_fault("sampling.temperature", method.temperature, "must be finite and greater than 0"))
    if sampling.HasField("top_k"):
        faults += _range_faults("sampling.top_k", [sampling.top_k], 1, None)
    if not 0 < method.top_p <= 1:  # NaN is not
        faults.append(_fault("sampling.top_p", method.top_p, "must be greater than 0 and at most 1"))
    return faults


def _contrastive_faults(method: Contrastive, max_beam_size: int) -> list[Violation]:
    faults = _range_faults("contrastive_search.top_k", [method.top_k], 1, max_beam_size)
    if not 0 <= method.penalty_alpha <= 1:
        name = "contrastive_search.penalty_alpha"
        faults.append(_fault(name, method.penalty_alpha, "must be at least 0 and at most 1"))
    return faults


def _length_faults(options: pb.TranslateOptions, model: LoadedModel | None) -> list[Violation]:
    most = most_target_tokens(options, model) if model else None
    if model and most == 0:
        room = f"needs room for 2 target tokens, {quoted(model.name)} has {model.max_target_tokens}"
        return [Violation("options.contrastive_search", room)]
    if options.HasField("max_target_tokens"):
        return _range_faults("max_target_tokens", [options.max_target_tokens], 1, most)
    return []


def _attention_faults(options: pb.AttentionOptions, model: LoadedModel | None) -> list[Violation]:
    info: AttentionInfo | None = model.manifest.attention if model else None
    if model and info is None:
        return [Violation("options.attention", f"model {quoted(model.name)} returns no attention")]
    faults = []
    if options.HasField("layer"):
        faults += _range_faults("attention.layer", [options.layer], 0, info.num_layers - 1 if info else None)
    faults += _range_faults("attention.heads", options.heads, 0, info.num_heads - 1 if info else None)
    twice = [head for head, count in Counter(options.heads).items() if count > 1]
    if twice:
        faults.append(Violation("options.attention.heads", f"has {_listed(twice)} more than once"))
    return faults


def _range_faults(name: str, values: Sequence[int], least: int, most: int | None) -> list[Violation]:
    """The values of a field that are out of its limits, as one fault."""
    wrong = [value for value in values if value < least or (most is not None and value > most)]
    upper = f" and at most {most}" if most is not None else ""
    return [_fault(name, _listed(wrong), f"must be at least {least}{upper}")] if wrong else []


def _fault(name: str, value: float | str, rule: str) -> Violation:
    found = str(np.float32(value)) if isinstance(value, float) else value  # 0.1 as the client wrote it
    return Violation(f"options.{name}", f"is {found}, {rule}")


def _listed(values: Sequence[int]) -> str:
    """Numbers for a message; of very many only the first, so that the answer still fits in a header."""
    return ", ".join(map(str, values[:_MAX_LISTED])) + (", ..." if len(values) > _MAX_LISTED else "")
