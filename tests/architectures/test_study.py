"""What the study counts, and that its variants are comparable."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.networks.build import build_model
from model.training.config import load_run_config
from tests.architectures.attention_weights import relative_entropy, softmax_slope
from tests.architectures.runs import read_curve
from tests.architectures.searches import distinct, repeated
from tests.architectures.variants import CONFIGS, VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_can_be_built_and_is_about_as_large_as_the_others(variant: str) -> None:
    model = build_model(load_run_config(CONFIGS / f"{variant}.yaml").model)
    assert 650_000 < sum(weight.numel() for weight in model.parameters()) < 950_000


def test_every_configuration_is_a_variant_on_the_same_data() -> None:
    files = {path.stem for path in CONFIGS.glob("*.yaml")} - {"base"}
    assert files == set(VARIANTS)
    runs = [load_run_config(CONFIGS / f"{variant}.yaml") for variant in VARIANTS]
    assert len({run.data for run in runs}) == 1
    assert len({run.training.batch_tokens for run in runs}) == 1


def test_distinct_counts_runs_over_all_texts_together() -> None:
    assert distinct(["a b c", "a b"], 1) == 3 / 5
    assert distinct(["a b c", "a b"], 2) == 2 / 3
    assert distinct([""], 2) == 0


def test_repeated_counts_runs_within_a_text() -> None:
    assert repeated(["a b a b a b", "a b"], 2) == pytest.approx(3 / 6)
    assert repeated(["a b", "a b"], 2) == 0


def test_relative_entropy_is_0_for_one_position_and_1_for_all_alike() -> None:
    weights = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    torch.testing.assert_close(relative_entropy(weights), torch.tensor([0.0, 1, 1]))  # of those looked at


def test_the_softmax_slope_is_the_norm_of_its_jacobian() -> None:
    scores = torch.randn(9, generator=torch.Generator().manual_seed(1))
    jacobian = torch.autograd.functional.jacobian(lambda x: x.softmax(dim=-1), scores)
    torch.testing.assert_close(softmax_slope(scores.softmax(dim=-1)), jacobian.norm())


def test_a_step_that_a_killed_run_did_twice_counts_once(tmp_path: Path) -> None:
    rows = [f"{step},100,0.5,{loss}" for step, loss in [*((n, 4.0) for n in range(1, 26)), (25, 29.0)]]
    (tmp_path / "steps.csv").write_text("\n".join(["step,target_tokens,seconds,loss", *rows]) + "\n")
    curve = read_curve(tmp_path)
    assert (curve.steps, curve.tokens, curve.seconds) == ((25,), (2500,), (12.5,))
    assert curve.losses == pytest.approx((5.0,))
