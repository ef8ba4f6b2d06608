"""An answer that no message holds is refused before the work, and one that fits is not."""

from __future__ import annotations

from server.engine.sequence import Beam
from server.translation.answer_limit import answer_size_faults
from server.work.job import Job
from server.work.options import SearchOptions

MIB = 1 << 20


def jobs(count: int, num_tokens: int, num_hypotheses: int) -> list[Job]:
    options = SearchOptions(
        method=Beam(beam_size=16), length_penalty=1.0, max_target_tokens=256, num_hypotheses=num_hypotheses
    )
    return [Job(source=(9,) * num_tokens, options=options)] * count


def test_what_is_usual_fits() -> None:
    assert answer_size_faults(jobs(1024, 256, 1), 0, 4 * MIB) == []
    assert answer_size_faults(jobs(1024, 40, 16), 0, 4 * MIB) == []
    assert answer_size_faults([], 0, 4 * MIB) == []


def test_many_hypotheses_of_many_long_texts_do_not_and_the_fault_has_both_figures() -> None:
    (fault,) = answer_size_faults(jobs(1024, 256, 16), 0, 4 * MIB)
    num_bytes = 1024 * (4 * 256 + 16 * (4 * 256 + 32))
    assert fault.field == "texts"
    assert f"some {num_bytes} bytes, the limit is {4 * MIB}" in fault.description
    assert answer_size_faults(jobs(1024, 256, 16), 0, 32 * MIB) == []
    assert answer_size_faults(jobs(1024, 256, 16), 0, None) == []


def test_what_is_kept_counts_in_the_text_and_in_its_hypothesis() -> None:
    assert answer_size_faults([], 2 * MIB, 4 * MIB) == []
    (fault,) = answer_size_faults([], 2 * MIB + 1, 4 * MIB)
    assert f"some {4 * MIB + 2} bytes" in fault.description
