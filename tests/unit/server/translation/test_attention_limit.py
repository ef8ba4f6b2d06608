"""What one call may hold of attention, over all its texts."""

from __future__ import annotations

import pytest

from server.engine.sequence import AttentionChoice, Beam, Method, Sampling
from server.translation.attention_limit import MAX_ATTENTION_WEIGHTS, attention_size_faults
from server.work.job import Job
from server.work.options import SearchOptions


@pytest.mark.parametrize(
    ("method", "count"),
    [(Beam(beam_size=16), 1), (Sampling(temperature=1, top_k=0, top_p=1, seed=0), 16)],
    ids=["beam", "sampling"],
)
def test_attention_of_a_call_has_a_limit_over_all_its_texts(method: Method, count: int) -> None:
    def jobs(number: int, choice: AttentionChoice | None) -> list[Job]:
        options = SearchOptions(method=method, length_penalty=1, max_target_tokens=256, attention=choice)
        return [Job(source=(5,) * 240, options=options)] * number

    choice = AttentionChoice(layer=0, heads=(0,))
    assert attention_size_faults([]) == []
    assert attention_size_faults(jobs(count, choice)) == []
    assert attention_size_faults(jobs(count + 1, None)) == []
    (fault,) = attention_size_faults(jobs(count + 1, choice))
    assert fault.field == "options.attention"
    assert str(MAX_ATTENTION_WEIGHTS) in fault.description
    assert str(MAX_ATTENTION_WEIGHTS // count * (count + 1)) in fault.description
