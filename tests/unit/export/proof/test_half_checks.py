"""A model whose numbers do not fit into fp16 is refused, though a CPU would compute it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from export.proof.checks import Check, ProofError, require
from export.proof.half_checks import HALF_MAX, half_checks
from export.proof.sentences import prepare
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer
from model.text.tokenizer import Tokenizer

Pairs = list[tuple[str, str]]


def checks_of(model: EncoderDecoder, tokenizer: Tokenizer, pairs: Pairs) -> dict[str, Check]:
    return {check.name: check for check in half_checks(model, tokenizer, prepare(pairs, tokenizer))}


def test_models_of_each_kind_pass(
    make_model: Callable[..., Transformer],
    make_recurrent: Callable[..., Recurrent],
    tokenizer: Tokenizer,
    short_pairs: Pairs,
) -> None:
    for model in (make_model(), make_recurrent()):
        checks = checks_of(model, tokenizer, short_pairs)
        require(list(checks.values()))
        assert 0 < checks["half_range"].measured < 1000


@pytest.mark.parametrize(("value", "names"), [(0.3, {"half_range"}), (3.0, {"half_range", "half_overflow"})])
def test_too_large_a_value_in_one_place_is_named(
    make_model: Callable[..., Transformer],
    tokenizer: Tokenizer,
    short_pairs: Pairs,
    value: float,
    names: set[str],
) -> None:
    model = make_model()
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.bias is not None]
    with torch.no_grad():
        layers[-1].bias[3] = value * HALF_MAX
    checks = checks_of(model, tokenizer, short_pairs)
    assert {name for name, check in checks.items() if not check.passed} == names
    assert checks["half_range"].measured == pytest.approx(value * HALF_MAX, rel=0.01)
    with pytest.raises(ProofError, match="half_range: "):
        require(list(checks.values()))
