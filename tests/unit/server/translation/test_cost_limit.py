"""A call of too much work is refused before it, and one that fits is not."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.config import ServerConfig
from server.engine.constraints import Constraints
from server.engine.sequence import Beam, Contrastive, Method, Sampling
from server.errors import InvalidRequest
from server.translation.cost_limit import cost_faults
from server.translation.translator import Translator
from server.work.job import Job
from server.work.options import SearchOptions
from tests.unit.server.translation.fakes import OPTIONS, FakeModel, FakeRecord, hypothesis, request_of

DEFAULT = ServerConfig.max_call_tokens


def job(num_tokens: int, method: Method, max_target_tokens: int = 256) -> Job:
    options = SearchOptions(method=method, length_penalty=1.0, max_target_tokens=max_target_tokens)
    return Job(source=(9,) * num_tokens, options=options)


def test_what_is_usual_fits_and_the_dearest_calls_do_not() -> None:
    assert cost_faults([], DEFAULT) == []
    assert cost_faults([job(40, Beam(beam_size=16))] * 1024, DEFAULT) == [], "sentences by the widest beam"
    assert cost_faults([job(28, Beam(beam_size=4))] * 16_384, DEFAULT) == [], "a book"
    dearest = [job(256, Beam(beam_size=16))] * 1024
    (fault,) = cost_faults(dearest, DEFAULT)
    assert fault.field == "texts"
    assert f"would cost {1024 * 512 * 16} tokens" in fault.description
    assert f"the limit is {DEFAULT}: send fewer texts or a smaller beam" in fault.description
    assert cost_faults(dearest, None) == []


@pytest.mark.parametrize(
    ("method", "width"),
    [
        (Beam(beam_size=3), 3),
        (Sampling(temperature=1, top_k=0, top_p=1, seed=0), 1),
        (Contrastive(top_k=5, penalty_alpha=0.5), 5),
    ],
    ids=["beam", "sampling", "contrastive"],
)
def test_a_call_costs_its_tokens_in_and_out_times_its_hypotheses(method: Method, width: int) -> None:
    """8 tokens of source have 10 of target, unless there may be less."""
    assert cost_faults([job(8, method)] * 2, 2 * 18 * width) == []
    assert cost_faults([job(8, method)] * 2, 2 * 18 * width - 1)
    assert cost_faults([job(8, method, max_target_tokens=4)] * 2, 2 * 12 * width) == []


@pytest.mark.parametrize("constraints", [Constraints(min_target_tokens=50), Constraints(prefix=(9,) * 50)])
def test_what_a_target_has_to_have_counts(constraints: Constraints) -> None:
    short = job(8, Beam(beam_size=1))
    long = dataclasses.replace(short, options=dataclasses.replace(short.options, constraints=constraints))
    assert cost_faults([long], 58) == []
    assert cost_faults([long], 57)


@given(st.lists(st.integers(1, 256), min_size=1), st.integers(1, 16), st.integers(1, 10_000))
def test_more_texts_a_wider_beam_or_a_lower_limit_never_make_a_refused_call_fit(
    lengths: list[int], width: int, limit: int
) -> None:
    def is_refused(lengths: list[int], width: int, limit: int) -> bool:
        return bool(cost_faults([job(length, Beam(beam_size=width)) for length in lengths], limit))

    if is_refused(lengths, width, limit):
        assert is_refused([*lengths, 1], width, limit)
        assert is_refused(lengths, width + 1, limit)
        assert is_refused(lengths, width, limit - 1)


def test_a_call_is_refused_before_any_text_waits_and_with_all_its_faults() -> None:
    model = FakeModel(lambda _: (hypothesis(2),))
    options = dataclasses.replace(OPTIONS, method=Beam(beam_size=4))

    def translate(*texts: str) -> object:
        request = request_of(model, *texts, options=options)
        return asyncio.run(Translator(200, 100).translate(request, FakeRecord()))

    assert translate("a bb")  # (4 + 5) tokens * 4
    model.worker.jobs.clear()
    with pytest.raises(InvalidRequest, match="would cost 108 tokens") as caught:
        translate("a bb", "a cc", "a dd")
    assert len(caught.value.violations) == 2, "the answer is too large too"
    assert model.worker.jobs == []
