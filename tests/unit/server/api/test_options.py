"""TranslateOptions read in one go: the defaults, every rule with its value and its limit, the request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from export.contract.manifest import AttentionInfo
from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY, LengthPenalty
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT, TargetLimit
from server.api.options import parse_options
from server.api.search_methods import parse_method
from server.api.status import to_status
from server.engine.constraints import Constraints
from server.engine.sequence import AttentionChoice, Beam, Contrastive, Method, Sampling, SequenceRequest
from server.errors import InvalidRequest
from server.models.served_model import ServedModel
from server.work.options import SearchOptions
from traghetto.pb.translation.v1 import translation_pb2 as pb

SOURCE = [4, 17, 23, 3]
MAX_BEAM_SIZE = 16
NAN, INFINITY = float("nan"), float("inf")
SMALLEST_FLOAT = 1e-45


def limited(
    info: AttentionInfo | None,
    max_target_tokens: int,
    length_penalty: LengthPenalty = DEFAULT_LENGTH_PENALTY,
) -> ServedModel:
    """A model that has only its limits and its length penalty."""
    manifest = SimpleNamespace(
        attention=info, target_limit=DEFAULT_TARGET_LIMIT, length_penalty=length_penalty
    )
    limits = SimpleNamespace(name="tiny", max_target_tokens=max_target_tokens, manifest=manifest)
    return cast("ServedModel", limits)


def model(max_target_tokens: int = 64, *, has_attention: bool = True) -> ServedModel:
    """With attention of 2 layers."""
    info = AttentionInfo(num_layers=2, num_heads=4, default_layer=1, anchor_accuracy=(0.1, 0.9))
    return limited(info if has_attention else None, max_target_tokens)


def read(max_target_tokens: int = 256, **options: Any) -> SearchOptions:
    """What good options come to for a model with attention of 3 layers."""
    info = AttentionInfo(num_layers=3, num_heads=4, default_layer=1, anchor_accuracy=(0.1, 0.9, 0.5))
    found = parse_options(pb.TranslateOptions(**options), limited(info, max_target_tokens), MAX_BEAM_SIZE)
    assert isinstance(found, SearchOptions), found
    return found


def request(**options: Any) -> SequenceRequest:
    return read(**options).seeded().request(0, SOURCE)


def method_of(options: pb.TranslateOptions, max_beam_size: int) -> Method:
    """The method, right or wrong."""
    return parse_method(options, max_beam_size, [])


def faults(served: ServedModel | None, **options: Any) -> dict[str, str]:
    found = parse_options(pb.TranslateOptions(**options), served, 16)
    if isinstance(found, SearchOptions):
        return {}
    return {fault.field.removeprefix("options."): fault.description for fault in found}


def sampling(**fields: Any) -> dict[str, pb.Sampling]:
    return {"sampling": pb.Sampling(**fields)}


def contrastive(**fields: Any) -> dict[str, pb.ContrastiveSearch]:
    return {"contrastive_search": pb.ContrastiveSearch(**fields)}


def attention(**fields: Any) -> dict[str, pb.AttentionOptions]:
    return {"attention": pb.AttentionOptions(**fields)}


GOOD: list[dict[str, Any]] = [
    {},
    {"beam_size": 16, "num_hypotheses": 16, "length_penalty": 0, "max_target_tokens": 64},
    {"num_hypotheses": 4},
    {"skip_scores": True, "num_hypotheses": 4},
    {**sampling(), **attention(), "skip_scores": True},
    sampling(),
    sampling(temperature=SMALLEST_FLOAT, top_k=1, top_p=SMALLEST_FLOAT, seed=0),
    sampling(temperature=1e38, top_k=2**31 - 1, top_p=1, seed=2**64 - 1),
    {**sampling(), "num_hypotheses": 1, "max_target_tokens": 64},
    contrastive(),
    contrastive(top_k=1, penalty_alpha=0),
    {**contrastive(top_k=16, penalty_alpha=1), "num_hypotheses": 1, "max_target_tokens": 63},
    attention(),
    attention(layer=0, heads=[3, 0]),
    attention(layer=1, heads=[0, 1, 2, 3]),
]


@pytest.mark.parametrize("options", GOOD, ids=str)
def test_what_keeps_the_rules_has_no_fault(options: dict[str, Any]) -> None:
    assert faults(model(), **options) == {}
    assert faults(None, **options) == {}


BAD: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"beam_size": 17}, {"beam_size": "is 17, must be at least 1 and at most 16"}),
    ({"num_hypotheses": 5}, {"num_hypotheses": "is 5, must be at least 1 and at most 4"}),
    ({"max_target_tokens": 65}, {"max_target_tokens": "is 65, must be at least 1 and at most 64"}),
    ({"length_penalty": -0.1}, {"length_penalty": "is -0.1, must be at least 0 and at most 10"}),
    *[
        (
            sampling(temperature=value),
            {"sampling.temperature": f"is {value}, must be finite and greater than 0"},
        )
        for value in (0.0, -0.5, NAN, INFINITY)
    ],
    (sampling(top_k=0), {"sampling.top_k": "is 0, must be at least 1"}),
    (sampling(top_k=-3), {"sampling.top_k": "is -3, must be at least 1"}),
    *[
        (sampling(top_p=value), {"sampling.top_p": f"is {value}, must be greater than 0 and at most 1"})
        for value in (0.0, -0.1, 1.1, 1.0000001, NAN, INFINITY)
    ],
    (
        {**sampling(), "beam_size": 1, "num_hypotheses": 2},
        {
            "beam_size": "is 1, must be absent with sampling",
            "num_hypotheses": "is 2, must be absent or 1 with sampling",
        },
    ),
    (
        {**contrastive(), "beam_size": 4, "num_hypotheses": 0},
        {
            "beam_size": "is 4, must be absent with contrastive_search",
            "num_hypotheses": "is 0, must be absent or 1 with contrastive_search",
        },
    ),
    *[
        (
            contrastive(top_k=value),
            {"contrastive_search.top_k": f"is {value}, must be at least 1 and at most 16"},
        )
        for value in (0, -1, 17)
    ],
    *[
        (
            contrastive(penalty_alpha=value),
            {"contrastive_search.penalty_alpha": f"is {value}, must be at least 0 and at most 1"},
        )
        for value in (-0.1, 1.1, NAN)
    ],
    (
        {**contrastive(), "max_target_tokens": 64},
        {"max_target_tokens": "is 64, must be at least 1 and at most 63"},
    ),
    (attention(layer=2), {"attention.layer": "is 2, must be at least 0 and at most 1"}),
    (attention(layer=-1), {"attention.layer": "is -1, must be at least 0 and at most 1"}),
    (attention(heads=[0, 4, -1]), {"attention.heads": "is 4, -1, must be at least 0 and at most 3"}),
    (attention(heads=[2, 0, 2]), {"attention.heads": "has 2 more than once"}),
]


@pytest.mark.parametrize(("options", "expected"), BAD, ids=[str(expected) for _, expected in BAD])
def test_what_breaks_a_rule_is_told_with_the_value_and_the_limit(
    options: dict[str, Any], expected: dict[str, str]
) -> None:
    assert faults(model(), **options) == expected


def test_every_fault_is_found_at_once() -> None:
    found = faults(
        model(),
        **sampling(temperature=0, top_k=0, top_p=0),
        **attention(layer=7, heads=[9]),
        beam_size=2,
        num_hypotheses=3,
        max_target_tokens=0,
        length_penalty=NAN,
    )
    assert found.keys() == {
        *("sampling.temperature", "sampling.top_k", "sampling.top_p", "attention.layer", "attention.heads"),
        *("beam_size", "num_hypotheses", "max_target_tokens", "length_penalty"),
    }


def test_without_a_model_what_needs_none_is_found() -> None:
    found = faults(None, **sampling(top_p=2), **attention(layer=-1, heads=[9, 9]), max_target_tokens=-1)
    assert found == {
        "sampling.top_p": "is 2.0, must be greater than 0 and at most 1",
        "attention.layer": "is -1, must be at least 0",
        "attention.heads": "has 9 more than once",
        "max_target_tokens": "is -1, must be at least 1",
    }


def test_a_model_without_attention_is_named() -> None:
    found = faults(model(has_attention=False), **attention(layer=5))
    assert found == {"attention": "model 'tiny' returns no attention"}


def test_a_model_of_one_target_token_has_no_room_for_contrastive_search() -> None:
    found = faults(model(1), **contrastive(), max_target_tokens=1)
    assert found == {"contrastive_search": "needs room for 2 target tokens, 'tiny' has 1"}
    assert faults(model(1), max_target_tokens=1) == {}


def test_a_million_wrong_heads_still_fit_in_a_header() -> None:
    heads = [*range(4, 500_000), *range(4, 500_000)]
    found = parse_options(pb.TranslateOptions(attention=pb.AttentionOptions(heads=heads)), model(), 16)
    assert isinstance(found, list)
    assert len(to_status(InvalidRequest(found)).SerializeToString()) < 2000


def test_absent_options_are_beam_search_with_the_defaults() -> None:
    assert request() == SequenceRequest(
        sequence_id=0,
        source=tuple(SOURCE),
        method=Beam(beam_size=4),
        length_penalty=1.0,
        max_target_tokens=24,
    )
    assert read().num_hypotheses == 1


def test_the_length_penalty_is_the_models_and_a_client_may_name_another_alpha() -> None:
    served = limited(None, 64, LengthPenalty(kind="power", alpha=0.6))
    for options, alpha in ((pb.TranslateOptions(), 0.6), (pb.TranslateOptions(length_penalty=0), 0.0)):
        found = parse_options(options, served, MAX_BEAM_SIZE)
        assert isinstance(found, SearchOptions)
        asked = found.request(0, SOURCE)
        assert (asked.length_penalty, asked.penalty_kind) == (alpha, "power")
    assert request().penalty_kind == "wu"


def test_scores_are_wanted_unless_they_are_skipped() -> None:
    assert read().with_scores is request().with_scores is True
    assert read(skip_scores=False).with_scores is True
    assert read(skip_scores=True).with_scores is request(skip_scores=True).with_scores is False
    assert read(skip_scores=True).request(5, SOURCE).with_scores is False


def test_what_is_present_counts_even_where_it_is_0() -> None:
    assert request(length_penalty=0).length_penalty == 0
    assert method_of(pb.TranslateOptions(beam_size=0), MAX_BEAM_SIZE) == Beam(beam_size=0)
    alpha = pb.ContrastiveSearch(penalty_alpha=0)
    found = method_of(pb.TranslateOptions(contrastive_search=alpha), MAX_BEAM_SIZE)
    assert found == Contrastive(top_k=4, penalty_alpha=0)


def test_defaults_stay_within_the_limit_of_the_server() -> None:
    assert method_of(pb.TranslateOptions(), 2) == Beam(beam_size=2)
    found = method_of(pb.TranslateOptions(contrastive_search=pb.ContrastiveSearch()), 3)
    assert isinstance(found, Contrastive)
    assert found.top_k == 3


def test_an_empty_message_of_a_method_is_that_method_with_its_defaults() -> None:
    method = read(sampling=pb.Sampling(seed=0)).method
    assert method == Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=0)
    defaults, explicit = (
        read(contrastive_search=message).method
        for message in (pb.ContrastiveSearch(), pb.ContrastiveSearch(top_k=4, penalty_alpha=0.6))
    )
    assert defaults == explicit == Contrastive(top_k=4, penalty_alpha=float(np.float32(0.6)))


def test_sampling_takes_every_field() -> None:
    message = pb.Sampling(temperature=0.5, top_k=7, top_p=0.25, seed=2**64 - 1)
    assert request(sampling=message).method == Sampling(temperature=0.5, top_k=7, top_p=0.25, seed=2**64 - 1)


def test_a_seed_holds_for_every_text_and_without_one_each_gets_its_own() -> None:
    seeded = read(sampling=pb.Sampling(seed=0))
    assert {cast("Sampling", seeded.seeded().request(0, SOURCE).method).seed for _ in range(20)} == {0}
    free = read(sampling=pb.Sampling())
    seeds = {cast("Sampling", free.seeded().request(0, SOURCE).method).seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**64 for seed in seeds)


@pytest.mark.parametrize(
    ("options", "limits"),
    [({}, (24, 12, 256)), ({"contrastive_search": pb.ContrastiveSearch()}, (24, 11, 255))],
    ids=["beam", "contrastive"],
)
def test_the_default_length_depends_on_the_source_and_keeps_the_limit(
    options: dict[str, Any], limits: tuple[int, int, int]
) -> None:
    usual, short, long = limits
    assert read(**options).request(0, SOURCE).max_target_tokens == usual
    assert read(max_target_tokens=12, **options).request(0, SOURCE).max_target_tokens == short
    assert read(**options).request(0, SOURCE * 64).max_target_tokens == long


@pytest.mark.parametrize(
    ("message", "choice"),
    [
        (pb.AttentionOptions(), AttentionChoice(layer=1, heads=(0, 1, 2, 3))),
        (pb.AttentionOptions(layer=0, heads=[2]), AttentionChoice(layer=0, heads=(2,))),
        (pb.AttentionOptions(layer=2, heads=[3, 0]), AttentionChoice(layer=2, heads=(0, 3))),
    ],
    ids=["defaults", "one head", "heads in any order"],
)
def test_attention_is_the_models_default_unless_told(
    message: pb.AttentionOptions, choice: AttentionChoice
) -> None:
    assert request(attention=message).attention == choice


def test_without_its_message_no_attention_is_asked_for() -> None:
    assert request().attention is None


def test_a_models_own_target_limit_holds_where_no_limit_is_named() -> None:
    served = model()
    served.manifest.target_limit = TargetLimit(factor=2.5, extra=0)  # type: ignore[misc]
    for options, limit in ((pb.TranslateOptions(), 8), (pb.TranslateOptions(max_target_tokens=30), 30)):
        found = parse_options(options, served, MAX_BEAM_SIZE)
        assert isinstance(found, SearchOptions)
        assert found.target_limit(3) == limit


def test_constraints_are_none_where_they_change_nothing() -> None:
    assert read().constraints is None
    assert read(no_repeat_ngram_size=0, repetition_penalty=1.0, min_target_tokens=1).constraints is None


def test_constraints_are_read_as_they_are_written() -> None:
    found = request(no_repeat_ngram_size=3, repetition_penalty=1.5, min_target_tokens=7).constraints
    assert found == Constraints(no_repeat_ngram_size=3, repetition_penalty=1.5, min_target_tokens=7)


@pytest.mark.parametrize(
    ("options", "field", "description"),
    [
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size", "is -1, must be at least 0 and at most 64"),
        ({"no_repeat_ngram_size": 65}, "no_repeat_ngram_size", "is 65, must be at least 0 and at most 64"),
        ({"repetition_penalty": 0.0}, "repetition_penalty", "is 0.0, must be greater than 0 and at most 10"),
        ({"repetition_penalty": NAN}, "repetition_penalty", "is nan, must be greater than 0 and at most 10"),
        (
            {"repetition_penalty": 10.5},
            "repetition_penalty",
            "is 10.5, must be greater than 0 and at most 10",
        ),
        ({"min_target_tokens": 0}, "min_target_tokens", "is 0, must be at least 1 and at most 64"),
        (
            {"min_target_tokens": 9, "max_target_tokens": 8},
            "min_target_tokens",
            "is 9, must be at least 1 and at most 8",
        ),
        ({"suppress": ["a"] * 257}, "suppress", "has 257 terms, must have at most 256"),
        ({"suppress": ["a", " \n"]}, "suppress[1]", "is white space alone, must have more"),
        ({"suppress": ["a" * 65]}, "suppress[0]", "has 65 characters, must have at most 64"),
    ],
)
def test_a_constraint_out_of_its_limits_is_refused(
    options: dict[str, Any], field: str, description: str
) -> None:
    assert faults(model(), **options) == {field: description}


def test_a_limit_by_source_counts_from_the_prefix_on_and_is_no_less_than_the_least() -> None:
    options, tokens = read(), DEFAULT_TARGET_LIMIT.tokens(4)
    assert options.beginning_with((5, 6, 7)).target_limit(4) == tokens + 3
    assert read(min_target_tokens=100).target_limit(4) == 100
    assert read(max_target_tokens=30).target_limit(4) <= 30
    assert read(min_target_tokens=9, repetition_penalty=2.0).beginning_with((5,)).constraints == Constraints(
        prefix=(5,), min_target_tokens=9, repetition_penalty=2.0
    )
