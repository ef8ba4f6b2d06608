"""Options as messages say them, and what the worker is asked to do for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from export.contract.manifest import AttentionInfo
from server.api.options import Options, method_of, read_options
from server.engine.sequence import AttentionChoice, Beam, Contrastive, Sampling
from server.models.loading import LoadedModel
from server.work.job import Job
from traghetto.pb.translation.v1 import translation_pb2 as pb

SOURCE = [4, 17, 23, 3]
MAX_BEAM_SIZE = 16


def model(max_target_tokens: int = 256) -> LoadedModel:
    """Only its limits, with attention of 3 layers."""
    info = AttentionInfo(num_layers=3, num_heads=4, default_layer=1, anchor_accuracy=(0.1, 0.9, 0.5))
    limits = SimpleNamespace(
        max_target_tokens=max_target_tokens, manifest=SimpleNamespace(name="tiny", attention=info)
    )
    return cast("LoadedModel", limits)


def read(max_target_tokens: int = 256, **options: Any) -> Options:
    return read_options(pb.TranslateOptions(**options), model(max_target_tokens), MAX_BEAM_SIZE)


def job(**options: Any) -> Job:
    return read(**options).job(SOURCE, None)


def test_absent_options_are_beam_search_with_the_defaults() -> None:
    assert job() == Job(
        source=tuple(SOURCE), method=Beam(beam_size=4), length_penalty=1.0, max_target_tokens=24
    )
    assert read().num_hypotheses == 1


def test_scores_are_wanted_unless_they_are_skipped() -> None:
    assert read().with_scores is job().with_scores is True
    assert read(skip_scores=False).with_scores is True
    assert read(skip_scores=True).with_scores is job(skip_scores=True).with_scores is False
    assert job(skip_scores=True).request(5).with_scores is False


def test_what_is_present_counts_even_where_it_is_0() -> None:
    assert job(length_penalty=0).length_penalty == 0
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
    sampling = read(sampling=pb.Sampling(seed=0)).method
    assert sampling == Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=0)
    defaults, explicit = (
        read(contrastive_search=message).method
        for message in (pb.ContrastiveSearch(), pb.ContrastiveSearch(top_k=4, penalty_alpha=0.6))
    )
    assert defaults == explicit == Contrastive(top_k=4, penalty_alpha=float(np.float32(0.6)))


def test_sampling_takes_every_field() -> None:
    message = pb.Sampling(temperature=0.5, top_k=7, top_p=0.25, seed=2**64 - 1)
    assert job(sampling=message).method == Sampling(temperature=0.5, top_k=7, top_p=0.25, seed=2**64 - 1)


def test_a_seed_holds_for_every_text_and_without_one_each_gets_its_own() -> None:
    seeded = read(sampling=pb.Sampling(seed=0))
    assert {cast("Sampling", seeded.job(SOURCE, None).method).seed for _ in range(20)} == {0}
    free = read(sampling=pb.Sampling())
    seeds = {cast("Sampling", free.job(SOURCE, None).method).seed for _ in range(20)}
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
    assert read(**options).job(SOURCE, None).max_target_tokens == usual
    assert read(max_target_tokens=12, **options).job(SOURCE, None).max_target_tokens == short
    assert read(**options).job(SOURCE * 64, None).max_target_tokens == long


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
    assert job(attention=message).attention == choice


def test_without_its_message_no_attention_is_asked_for() -> None:
    assert job().attention is None
