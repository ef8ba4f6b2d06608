"""Which search TranslateOptions asks for, read and checked; beam search where it names none."""

from __future__ import annotations

import math

import numpy as np

from server.api.option_faults import fault, range_faults
from server.config import DEFAULT_BEAM_SIZE
from server.engine.sequence import Beam, Contrastive, Method, Sampling
from server.errors import Violation
from traghetto.pb.translation.v1 import translation_pb2 as pb

DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 1.0
DEFAULT_TOP_K = 4  # of contrastive search; sampling keeps all tokens
DEFAULT_PENALTY_ALPHA = float(np.float32(0.6))  # the very number that a client's 0.6 arrives as


def parse_method(message: pb.TranslateOptions, max_beam_size: int, faults: list[Violation]) -> Method:
    """The search as the message has it; what is wrong with it is added to the faults.

    Args:
        max_beam_size: The server's limit; no default exceeds it.
    """
    match message.WhichOneof("method"):
        case "sampling":
            _refuse_beam_fields(message, "sampling", faults)
            return _sampling(message.sampling, faults)
        case "contrastive_search":
            _refuse_beam_fields(message, "contrastive_search", faults)
            return _contrastive(message.contrastive_search, max_beam_size, faults)
        case _:
            return _beam(message, max_beam_size, faults)


def num_hypotheses_of(message: pb.TranslateOptions) -> int:
    """How many hypotheses to return, unchecked."""
    return message.num_hypotheses if message.HasField("num_hypotheses") else 1


def _beam(message: pb.TranslateOptions, max_beam_size: int, faults: list[Violation]) -> Beam:
    default = min(DEFAULT_BEAM_SIZE, max_beam_size)
    beam_size = message.beam_size if message.HasField("beam_size") else default
    faults += range_faults("beam_size", [beam_size], 1, max_beam_size)
    faults += range_faults("num_hypotheses", [num_hypotheses_of(message)], 1, max(beam_size, 1))
    return Beam(beam_size=beam_size)


def _refuse_beam_fields(message: pb.TranslateOptions, method: str, faults: list[Violation]) -> None:
    """What only beam search has must not stand beside another method."""
    if message.HasField("beam_size"):
        faults.append(fault("beam_size", message.beam_size, f"must be absent with {method}"))
    if num_hypotheses_of(message) != 1:
        faults.append(fault("num_hypotheses", message.num_hypotheses, f"must be absent or 1 with {method}"))


def _sampling(message: pb.Sampling, faults: list[Violation]) -> Sampling:
    temperature = message.temperature if message.HasField("temperature") else DEFAULT_TEMPERATURE
    if not (math.isfinite(temperature) and temperature > 0):
        faults.append(fault("sampling.temperature", temperature, "must be finite and greater than 0"))
    if message.HasField("top_k"):
        faults += range_faults("sampling.top_k", [message.top_k], 1, None)
    top_p = message.top_p if message.HasField("top_p") else DEFAULT_TOP_P
    if not 0 < top_p <= 1:  # NaN is not
        faults.append(fault("sampling.top_p", top_p, "must be greater than 0 and at most 1"))
    return Sampling(temperature=temperature, top_k=message.top_k, top_p=top_p, seed=message.seed)


def _contrastive(message: pb.ContrastiveSearch, max_beam_size: int, faults: list[Violation]) -> Contrastive:
    top_k = message.top_k if message.HasField("top_k") else min(DEFAULT_TOP_K, max_beam_size)
    faults += range_faults("contrastive_search.top_k", [top_k], 1, max_beam_size)
    alpha = message.penalty_alpha if message.HasField("penalty_alpha") else DEFAULT_PENALTY_ALPHA
    if not 0 <= alpha <= 1:  # NaN is not
        faults.append(fault("contrastive_search.penalty_alpha", alpha, "must be at least 0 and at most 1"))
    return Contrastive(top_k=top_k, penalty_alpha=alpha)
