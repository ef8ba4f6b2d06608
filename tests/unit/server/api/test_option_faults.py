"""Every rule of the options, with the value and the limit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from export.contract.manifest import AttentionInfo
from server.api.option_faults import MAX_ATTENTION_WEIGHTS, attention_size_faults, option_faults
from server.api.status import to_status
from server.engine.sequence import AttentionChoice, Beam, Method, Sampling
from server.errors import InvalidRequest
from server.models.loading import LoadedModel
from server.work.job import Job
from traghetto.pb.translation.v1 import translation_pb2 as pb

NAN, INFINITY = float("nan"), float("inf")
SMALLEST_FLOAT = 1e-45


def model(max_target_tokens: int = 64, *, has_attention: bool = True) -> LoadedModel:
    """Only its limits."""
    info = AttentionInfo(num_layers=2, num_heads=4, default_layer=1, anchor_accuracy=(0.1, 0.9))
    limits = SimpleNamespace(
        name="tiny",
        max_target_tokens=max_target_tokens,
        manifest=SimpleNamespace(attention=info if has_attention else None),
    )
    return cast("LoadedModel", limits)


def faults(served: LoadedModel | None, **options: Any) -> dict[str, str]:
    found = option_faults(pb.TranslateOptions(**options), served, 16)
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
    ({"length_penalty": -0.1}, {"length_penalty": "is -0.1, must be finite and at least 0"}),
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
    found = option_faults(pb.TranslateOptions(attention=pb.AttentionOptions(heads=heads)), model(), 16)
    assert len(to_status(InvalidRequest(found)).SerializeToString()) < 2000


@pytest.mark.parametrize(
    ("method", "count"),
    [(Beam(beam_size=16), 1), (Sampling(temperature=1, top_k=0, top_p=1, seed=0), 16)],
    ids=["beam", "sampling"],
)
def test_attention_of_a_call_has_a_limit_over_all_its_texts(method: Method, count: int) -> None:
    def jobs(number: int, choice: AttentionChoice | None) -> list[Job]:
        job = Job(source=(5,) * 240, method=method, length_penalty=1, max_target_tokens=256, attention=choice)
        return [job] * number

    choice = AttentionChoice(layer=0, heads=(0,))
    assert attention_size_faults([]) == []
    assert attention_size_faults(jobs(count, choice)) == []
    assert attention_size_faults(jobs(count + 1, None)) == []
    (fault,) = attention_size_faults(jobs(count + 1, choice))
    assert fault.field == "options.attention"
    assert str(MAX_ATTENTION_WEIGHTS) in fault.description
    assert str(MAX_ATTENTION_WEIGHTS // count * (count + 1)) in fault.description
