"""How to search, as TranslateOptions asks for it: defaults filled in, nothing checked."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from server.config import DEFAULT_BEAM_SIZE
from server.engine.sequence import AttentionChoice, Beam, Contrastive, Method, Sampling
from server.models.loading import LoadedModel
from server.work.job import Job
from traghetto.pb.translation.v1 import translation_pb2 as pb

DEFAULT_LENGTH_PENALTY = 1.0
DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 1.0
DEFAULT_TOP_K = 4  # of contrastive search; sampling keeps all tokens
DEFAULT_PENALTY_ALPHA = float(np.float32(0.6))  # the very number that a client's 0.6 arrives as
_SEED_BITS = 64


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to search for the translations of a call.

    Args:
        is_seeded: Whether the seed is the client's; if not, each text that is sampled gets its own.
        max_target_tokens: None depends on the source's length.
        most_target_tokens: What no target exceeds.
    """

    method: Method
    is_seeded: bool
    length_penalty: float
    max_target_tokens: int | None
    most_target_tokens: int
    num_hypotheses: int
    attention: AttentionChoice | None
    with_scores: bool

    def job(self, source: Sequence[int], deadline: float | None) -> Job:
        """What the worker shall do for one source."""
        method = self.method
        if isinstance(method, Sampling) and not self.is_seeded:
            method = replace(method, seed=secrets.randbits(_SEED_BITS))
        return Job(
            source=tuple(source),
            method=method,
            length_penalty=self.length_penalty,
            max_target_tokens=self.max_target_tokens or min(2 * len(source) + 16, self.most_target_tokens),
            attention=self.attention,
            with_scores=self.with_scores,
            deadline=deadline,
        )


def read_options(options: pb.TranslateOptions, model: LoadedModel, max_beam_size: int) -> Options:
    """The options for a model; `option_faults` found none in them."""
    return Options(
        method=method_of(options, max_beam_size),
        is_seeded=options.sampling.HasField("seed"),
        length_penalty=length_penalty_of(options),
        max_target_tokens=options.max_target_tokens if options.HasField("max_target_tokens") else None,
        most_target_tokens=most_target_tokens(options, model),
        num_hypotheses=num_hypotheses_of(options),
        attention=_attention(options.attention, model) if options.HasField("attention") else None,
        with_scores=not options.skip_scores,
    )


def method_of(options: pb.TranslateOptions, max_beam_size: int) -> Method:
    """The method asked for; a default never exceeds the server's own limit."""
    match options.WhichOneof("method"):
        case "sampling":
            return _sampling(options.sampling)
        case "contrastive_search":
            return _contrastive(options.contrastive_search, max_beam_size)
        case _:
            default = min(DEFAULT_BEAM_SIZE, max_beam_size)
            return Beam(beam_size=options.beam_size if options.HasField("beam_size") else default)


def _sampling(sampling: pb.Sampling) -> Sampling:
    return Sampling(
        temperature=sampling.temperature if sampling.HasField("temperature") else DEFAULT_TEMPERATURE,
        top_k=sampling.top_k,
        top_p=sampling.top_p if sampling.HasField("top_p") else DEFAULT_TOP_P,
        seed=sampling.seed,
    )


def _contrastive(contrastive: pb.ContrastiveSearch, max_beam_size: int) -> Contrastive:
    default = min(DEFAULT_TOP_K, max_beam_size)
    has_alpha = contrastive.HasField("penalty_alpha")
    return Contrastive(
        top_k=contrastive.top_k if contrastive.HasField("top_k") else default,
        penalty_alpha=contrastive.penalty_alpha if has_alpha else DEFAULT_PENALTY_ALPHA,
    )


def length_penalty_of(options: pb.TranslateOptions) -> float:
    """Alpha."""
    return options.length_penalty if options.HasField("length_penalty") else DEFAULT_LENGTH_PENALTY


def num_hypotheses_of(options: pb.TranslateOptions) -> int:
    """How many to return."""
    return options.num_hypotheses if options.HasField("num_hypotheses") else 1


def most_target_tokens(options: pb.TranslateOptions, model: LoadedModel) -> int:
    """The model's limit; contrastive search runs the last token's candidates too and needs room for them."""
    return model.max_target_tokens - (1 if options.HasField("contrastive_search") else 0)


def _attention(options: pb.AttentionOptions, model: LoadedModel) -> AttentionChoice:
    info = model.manifest.attention
    assert info is not None, "checked before"
    return AttentionChoice(
        layer=options.layer if options.HasField("layer") else info.default_layer,
        heads=tuple(sorted(options.heads) or range(info.num_heads)),
    )
