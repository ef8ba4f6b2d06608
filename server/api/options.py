"""How to search, as TranslateOptions says it: defaults filled in and every fault found, in one reading."""

from __future__ import annotations

from collections import Counter

from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY, MAX_ALPHA
from server.api.constraints import parse_constraints
from server.api.option_faults import fault, listed, range_faults
from server.api.search_methods import num_hypotheses_of, parse_method
from server.engine.sequence import AttentionChoice
from server.errors import Violation, quoted
from server.models.served_model import ServedModel
from server.work.options import SearchOptions
from traghetto.pb.translation.v1 import translation_pb2 as pb


def parse_options(
    message: pb.TranslateOptions, model: ServedModel | None, max_beam_size: int
) -> SearchOptions | list[Violation]:
    """Read a call's options.

    Args:
        model: Has limits of its own; None if none was found, and then those are not checked.
        max_beam_size: The server's limit.

    Returns:
        The options, or every fault in them; without a model only the faults that show without one, if any.
    """
    faults: list[Violation] = []
    method = parse_method(message, max_beam_size, faults)
    max_target_tokens = _max_target_tokens(message, model, faults)
    length_penalty = _length_penalty(message, model, faults)
    constraints = parse_constraints(message, model, max_target_tokens, faults)
    attention = _attention(message.attention, model, faults) if message.HasField("attention") else None
    if faults or model is None:
        return faults
    return SearchOptions(
        method=method,
        length_penalty=length_penalty,
        max_target_tokens=max_target_tokens,
        is_limit_by_source=not message.HasField("max_target_tokens"),
        limit_by_source=model.manifest.target_limit,
        num_hypotheses=num_hypotheses_of(message),
        attention=attention,
        with_scores=not message.skip_scores,
        is_seeded=message.sampling.HasField("seed"),
        penalty_kind=model.manifest.length_penalty.kind,
        constraints=constraints,
    )


def _max_target_tokens(
    message: pb.TranslateOptions, model: ServedModel | None, faults: list[Violation]
) -> int:
    """What the client names, or else the most that the model gives."""
    # Contrastive search runs the last token's candidates too and needs room for them.
    num_kept = 1 if message.HasField("contrastive_search") else 0
    limit = model.max_target_tokens - num_kept if model else None
    if model and limit == 0:
        room = f"needs room for 2 target tokens, {quoted(model.name)} has {model.max_target_tokens}"
        faults.append(Violation("options.contrastive_search", room))
    elif message.HasField("max_target_tokens"):
        faults += range_faults("max_target_tokens", [message.max_target_tokens], 1, limit)
        return message.max_target_tokens
    return limit or 0


def _length_penalty(
    message: pb.TranslateOptions, model: ServedModel | None, faults: list[Violation]
) -> float:
    """What the client names, or else the model's."""
    if not message.HasField("length_penalty"):
        return (model.manifest.length_penalty if model else DEFAULT_LENGTH_PENALTY).alpha
    alpha = message.length_penalty
    if not 0 <= alpha <= MAX_ALPHA:  # NaN is not
        faults.append(fault("length_penalty", alpha, f"must be at least 0 and at most {MAX_ALPHA:g}"))
    return alpha


def _attention(
    message: pb.AttentionOptions, model: ServedModel | None, faults: list[Violation]
) -> AttentionChoice | None:
    info = model.manifest.attention if model else None
    if model and info is None:
        faults.append(Violation("options.attention", f"model {quoted(model.name)} returns no attention"))
        return None
    if message.HasField("layer"):
        faults += range_faults("attention.layer", [message.layer], 0, info.num_layers - 1 if info else None)
    faults += range_faults("attention.heads", message.heads, 0, info.num_heads - 1 if info else None)
    repeated = [head for head, count in Counter(message.heads).items() if count > 1]
    if repeated:
        faults.append(Violation("options.attention.heads", f"has {listed(repeated)} more than once"))
    if info is None or faults:
        return None
    return AttentionChoice(
        layer=message.layer if message.HasField("layer") else info.default_layer,
        heads=tuple(sorted(message.heads) or range(info.num_heads)),
    )
