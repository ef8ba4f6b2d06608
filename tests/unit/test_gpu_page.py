"""The prediction in docs/gpu.md is what its program prints, and adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cuda.roofline import CARDS, MODELS, step_of, table

ROOT = Path(__file__).parents[2]


def test_the_table_of_the_page_is_what_the_program_prints() -> None:
    page = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
    assert page.endswith("\n".join(table()) + "\n"), "make roofline"


def test_a_small_model_waits_for_launches_and_a_large_one_for_its_weights() -> None:
    """E = 256, F = 1024: 6E² + 2EF of each layer, and EV."""
    bundled, _, nllb = MODELS
    h200, l4, _ = CARDS
    assert bundled.num_weights == 2 * (6 * 256**2 + 2 * 256 * 1024) + 8_000 * 256
    small, large = step_of(bundled, h200, rows=1, width=1), step_of(nllb, l4, rows=1, width=1)
    assert small.total == pytest.approx(small.launches + small.round_trips + small.search)
    assert large.weights > 0.9 * large.total
