"""What no translation may be, as TranslateOptions and the prefixes beside the texts say it, checked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from model.text.tokenizer import Tokenizer
from server.api.option_faults import MAX_LISTED, fault, range_faults
from server.engine.constraints import Constraints
from server.errors import InvalidRequest, Violation
from server.models.served_model import ServedModel
from server.translation.forbidden_terms import ForbiddenTerms, TargetPieces
from server.translation.request import TranslationRequest
from server.translation.sources import CHARACTERS_PER_TOKEN, INLINE_CHARACTERS
from server.work.options import SearchOptions
from traghetto.pb.translation.v1 import translation_pb2 as pb

MAX_TERMS = 256
MAX_TERM_CHARACTERS = 64
MAX_REPETITION_PENALTY = 10

_pieces: WeakKeyDictionary[Tokenizer, TargetPieces] = WeakKeyDictionary()
_lock = threading.Lock()  # of these


def parse_constraints(
    message: pb.TranslateOptions,
    model: ServedModel | None,
    max_target_tokens: int,
    faults: list[Violation],
) -> Constraints | None:
    """The constraints but for terms, whose faults are found too; None where there are none.

    Args:
        model: Has limits of its own; None if none was found.
        max_target_tokens: In effect; 0 if it is not known.
    """
    longest = model.max_target_tokens if model else None
    faults += range_faults("no_repeat_ngram_size", [message.no_repeat_ngram_size], 0, longest)
    if message.HasField("min_target_tokens"):
        least = [message.min_target_tokens]
        faults += range_faults(
            "min_target_tokens", least, 1, max_target_tokens if max_target_tokens > 0 else None
        )
    penalty = message.repetition_penalty if message.HasField("repetition_penalty") else 1.0
    if not 0 < penalty <= MAX_REPETITION_PENALTY:  # NaN is not
        rule = f"must be greater than 0 and at most {MAX_REPETITION_PENALTY}"
        faults.append(fault("repetition_penalty", penalty, rule))
    faults += list(_term_faults(message.suppress))[:MAX_LISTED]
    constraints = Constraints(
        min_target_tokens=message.min_target_tokens or 1,
        no_repeat_ngram_size=message.no_repeat_ngram_size,
        repetition_penalty=penalty,
    )
    return None if constraints == Constraints() else constraints


def _term_faults(terms: Sequence[str]) -> Iterable[Violation]:
    if len(terms) > MAX_TERMS:
        yield Violation("options.suppress", f"has {len(terms)} terms, must have at most {MAX_TERMS}")
    for i, term in enumerate(terms[:MAX_TERMS]):
        if not term.strip():
            yield Violation(f"options.suppress[{i}]", "is white space alone, must have more")
        elif len(term) > MAX_TERM_CHARACTERS:
            limit = f"has {len(term)} characters, must have at most {MAX_TERM_CHARACTERS}"
            yield Violation(f"options.suppress[{i}]", limit)


def prefix_faults(message: pb.TranslateRequest) -> Iterable[Violation]:
    """What is wrong with the number of prefixes, if anything is."""
    count, num_texts = len(message.target_prefixes), len(message.texts)
    if count not in {0, 1, num_texts}:
        rule = f"has {count} prefixes, must have none, 1, or one for each of {num_texts} texts"
        yield Violation("target_prefixes", rule)


async def constrained(request: TranslationRequest, message: pb.TranslateRequest) -> TranslationRequest:
    """A call with its prefixes and the terms that no translation may have, in tokens of its model.

    Long work leaves the event loop to others.

    Args:
        request: Of the message, which has no other faults; its model is in memory.

    Raises:
        InvalidRequest: a prefix is none to this model; lists all of them.
    """
    if message.options.suppress or sum(map(len, message.target_prefixes)) > INLINE_CHARACTERS:
        return await asyncio.to_thread(_constrained, request, message)
    return _constrained(request, message)


def _constrained(request: TranslationRequest, message: pb.TranslateRequest) -> TranslationRequest:
    model, language = request.model, request.pair[1]
    options = with_suppressed(request.options, message.options.suppress, model, language)
    prefixes = _prefixes(message, model, language, options.max_target_tokens)
    return replace(request, options=options, prefixes=prefixes)


def with_suppressed(
    options: SearchOptions, terms: Sequence[str], model: ServedModel, target_language: str
) -> SearchOptions:
    """The options with terms that no translation may have."""
    if not terms:
        return options
    tokenizer = model.tokenizer
    with _lock:
        if tokenizer not in _pieces:
            _pieces[tokenizer] = TargetPieces(tokenizer)
        pieces = _pieces[tokenizer]
    forbidden = ForbiddenTerms(terms, pieces, tokenizer, target_language)
    return replace(options, constraints=replace(options.constraints or Constraints(), forbidden=forbidden))


def _prefixes(
    message: pb.TranslateRequest, model: ServedModel, target_language: str, max_target_tokens: int
) -> list[tuple[int, ...]]:
    """The tokens that the translation of each text begins with; empty where no text has a prefix."""
    prefixes, wrong = [], []
    for i, prefix in enumerate(message.target_prefixes):
        ids = _prefix_ids(prefix, model, target_language, max_target_tokens)
        if isinstance(ids, str):
            wrong.append(Violation(f"target_prefixes[{i}]", ids))
        else:
            prefixes.append(ids)
    if wrong:
        raise InvalidRequest(wrong[:MAX_LISTED])
    return prefixes * len(message.texts) if len(prefixes) == 1 else prefixes


def _prefix_ids(prefix: str, model: ServedModel, target_language: str, limit: int) -> tuple[int, ...] | str:
    """A prefix as tokens, or what is wrong with it."""
    if not prefix.strip():
        return ()
    if len(prefix) > (most := CHARACTERS_PER_TOKEN * limit):
        return f"has {len(prefix)} characters, must have at most {most}"
    ids = model.tokenizer.encode_target(prefix, target_language=target_language)[:-1]
    if model.tokenizer.special_ids.unknown in ids:
        return "has characters that the model cannot write"
    if len(ids) >= limit:
        return f"has {len(ids)} tokens, must have fewer than max_target_tokens, {limit}"
    return tuple(ids)
